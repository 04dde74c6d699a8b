// Everything that Tenantry needs in one subscription, by concern: `azd up` runs this, then deploys the code.
targetScope = 'subscription'

@minLength(1)
@maxLength(40)
@description('Name of the azd environment; the names of all resources come from it.')
param environmentName string

@minLength(1)
@description('Region of everything that stores or processes a tenant\'s data.')
@metadata({ azd: { type: 'location' } })
param location string

@allowed([
  'small'
  'production'
])
@description('small: Cosmos serverless, one zone, no instance kept warm. production: autoscale, zones, warm instances.')
param size string = 'small'

@description('Private endpoints for every store and for the model; none of them has a public address then.')
param privateNetwork bool = false

@description('Production only: the most that queues and timers may take of a container, by throughput buckets. They are in preview: the subscription has to be registered.')
param throughputBuckets bool = false

@description('Object id of who deploys; it may read the administrator\'s key, for the smoke test. Empty: nobody.')
param principalId string = ''

@allowed([
  'User'
  'ServicePrincipal'
])
@description('Kind of principalId.')
param principalType string = 'User'

@description('Who gets the alerts. Empty: they fire, and nobody is told.')
param alertEmail string = ''

@secure()
@minLength(12)
@description('The platform administrator\'s key; azd makes one of 15 characters up, modules/vault.bicep makes it long enough.')
param adminApiKey string

@secure()
@description('The administrator\'s next key, while it is rotated; both are in force.')
param adminApiKeyNext string = ''

@secure()
@minLength(12)
@description('What the secrets of webhooks are encrypted with; azd makes one up, modules/vault.bicep makes it long enough.')
param webhookKey string

@description('Settings MODEL_KEY_* of the model catalogue; each is read from the vault\'s secret of that name, in lower case with dashes.')
param modelKeySettings array = []

@description('Optional settings of docs/settings.md, by name; schedules and the default model may be others than the usual ones.')
param extraSettings object = {}

var token = toLower(uniqueString(subscription().id, environmentName, location))
var tags = { 'azd-env-name': environmentName }

resource group 'Microsoft.Resources/resourceGroups@2024-03-01' = {
  name: 'rg-${environmentName}'
  location: location
  tags: tags
}

module identity 'modules/identity.bicep' = {
  name: 'identity'
  scope: group
  params: {
    name: 'id-${token}'
    location: location
    tags: tags
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  scope: group
  params: {
    token: token
    location: location
    tags: tags
  }
}

module network 'modules/network.bicep' = if (privateNetwork) {
  name: 'network'
  scope: group
  params: {
    name: 'vnet-${token}'
    location: location
    tags: tags
  }
}

module cosmos 'modules/cosmos.bicep' = {
  name: 'cosmos'
  scope: group
  params: {
    name: 'cosmos-${token}'
    location: location
    tags: tags
    size: size
    throughputBuckets: throughputBuckets
    privateNetwork: privateNetwork
  }
}

module servicebus 'modules/servicebus.bicep' = {
  name: 'servicebus'
  scope: group
  params: {
    name: 'sb-${token}'
    location: location
    tags: tags
    privateNetwork: privateNetwork
  }
}

module storage 'modules/storage.bicep' = {
  name: 'storage'
  scope: group
  params: {
    hostName: 'sthost${token}'
    dataName: 'stdata${token}'
    location: location
    tags: tags
    size: size
    privateNetwork: privateNetwork
  }
}

module vault 'modules/vault.bicep' = {
  name: 'vault'
  scope: group
  params: {
    name: 'kv-${token}'
    location: location
    tags: tags
    privateNetwork: privateNetwork
    adminApiKey: adminApiKey
    adminApiKeyNext: adminApiKeyNext
    webhookKey: webhookKey
  }
}

module models 'modules/models.bicep' = {
  name: 'models'
  scope: group
  params: {
    name: 'aoai-${token}'
    location: location
    tags: tags
    privateNetwork: privateNetwork
  }
}

module endpoints 'modules/endpoints.bicep' = if (privateNetwork) {
  name: 'endpoints'
  scope: group
  params: {
    location: location
    tags: tags
    networkName: 'vnet-${token}'
    cosmosId: cosmos.outputs.id
    servicebusId: servicebus.outputs.id
    hostStorageId: storage.outputs.hostId
    dataStorageId: storage.outputs.dataId
    vaultId: vault.outputs.id
    modelsId: models.outputs.id
  }
  dependsOn: [
    network
  ]
}

module roles 'modules/roles.bicep' = {
  name: 'roles'
  scope: group
  params: {
    appPrincipalId: identity.outputs.principalId
    deployerPrincipalId: principalId
    deployerPrincipalType: principalType
    cosmosName: cosmos.outputs.name
    servicebusName: servicebus.outputs.name
    hostStorageName: storage.outputs.hostName
    dataStorageName: storage.outputs.dataName
    vaultName: vault.outputs.name
    modelsName: models.outputs.name
    insightsName: monitoring.outputs.insightsName
  }
}

module app 'modules/functions.bicep' = {
  name: 'app'
  scope: group
  params: {
    name: 'func-${token}'
    planName: 'plan-${token}'
    location: location
    tags: tags
    size: size
    throughputBuckets: throughputBuckets
    subnetId: privateNetwork ? network.outputs.appSubnetId : ''
    identityId: identity.outputs.id
    identityClientId: identity.outputs.clientId
    insightsConnection: monitoring.outputs.insightsConnection
    hostStorageName: storage.outputs.hostName
    dataStorageName: storage.outputs.dataName
    deploymentContainer: storage.outputs.deploymentContainer
    cosmosEndpoint: cosmos.outputs.endpoint
    servicebusHost: servicebus.outputs.host
    vaultUri: vault.outputs.uri
    modelsEndpoint: models.outputs.endpoint
    hasNextAdminKey: !empty(adminApiKeyNext)
    modelKeySettings: modelKeySettings
    extraSettings: extraSettings
  }
  dependsOn: [
    roles
    endpoints
  ]
}

module alerts 'modules/alerts.bicep' = {
  name: 'alerts'
  scope: group
  params: {
    location: location
    tags: tags
    email: alertEmail
    workspaceId: monitoring.outputs.workspaceId
    servicebusId: servicebus.outputs.id
    cosmosId: cosmos.outputs.id
  }
}

output AZURE_LOCATION string = location
output AZURE_RESOURCE_GROUP string = group.name
output AZURE_KEY_VAULT_NAME string = vault.outputs.name
output TENANTRY_APP_NAME string = app.outputs.name
output TENANTRY_APP_URL string = app.outputs.url
output TENANTRY_DATA_STORAGE string = storage.outputs.dataName
output TENANTRY_TOPIC string = storage.outputs.topicName
