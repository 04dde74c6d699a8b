// The app on Flex Consumption. Its settings: tests/unit_tests/infra compares them with what the code reads.
param name string
param planName string
param location string
param tags object
param size string
param throughputBuckets bool
param subnetId string
param identityId string
param identityClientId string
param insightsConnection string
param hostStorageName string
param dataStorageName string
param deploymentContainer string
param cosmosEndpoint string
param servicebusHost string
param vaultUri string
param modelsEndpoint string
param hasNextAdminKey bool
param modelKeySettings array
param extraSettings object

@minValue(1)
@maxValue(1000)
@description('Requests that one instance answers beside each other. Flex gives Python 1 unless it is said, which one open stream would exhaust.')
param httpConcurrency int = 100

@allowed([
  2048
  4096
])
param instanceMemory int = 2048

@minValue(1)
@maxValue(1000)
param maximumInstances int = size == 'small' ? 10 : 100

var suffix = environment().suffixes.storage
// Queues and timers have their own instances there: a burst of jobs takes none of chat's.
var alwaysReady = size == 'small' ? [] : [
  {
    name: 'http'
    instanceCount: 2
  }
]

var hostSettings = {
  AzureWebJobsStorage__blobServiceUri: 'https://${hostStorageName}.blob.${suffix}'
  AzureWebJobsStorage__queueServiceUri: 'https://${hostStorageName}.queue.${suffix}'
  AzureWebJobsStorage__tableServiceUri: 'https://${hostStorageName}.table.${suffix}'
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identityClientId
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'
  AZURE_CLIENT_ID: identityClientId
}

var appSettings = {
  APPLICATIONINSIGHTS_CONNECTION_STRING: insightsConnection
  ADMIN_API_KEY: '@Microsoft.KeyVault(SecretUri=${vaultUri}secrets/admin-api-key)'
  WEBHOOK_KEY: '@Microsoft.KeyVault(SecretUri=${vaultUri}secrets/webhook-key)'
  COSMOS_ENDPOINT: cosmosEndpoint
  COSMOS_DATABASE: loadJsonContent('../cosmos.json').database
  SERVICEBUS__fullyQualifiedNamespace: servicebusHost
  SERVICEBUS__credential: 'managedidentity'
  SERVICEBUS__clientId: identityClientId
  STORAGE__blobServiceUri: 'https://${dataStorageName}.blob.${suffix}'
  STORAGE__queueServiceUri: 'https://${dataStorageName}.queue.${suffix}'
  STORAGE__credential: 'managedidentity'
  STORAGE__clientId: identityClientId
  BLOB_TRIGGER_SOURCE: 'EventGrid'
  LOGS_CONTAINER: loadJsonContent('../storage.json').containers[0]
  REASONER_IN_QUEUE: 'reasoner-in'
  REASONER_OUT_QUEUE: 'reasoner-out'
  FEEDBACK_IN_QUEUE: 'feedback-form-in'
  FEEDBACK_OUT_QUEUE: 'feedback-form-out'
  RESPONSES_IN_QUEUE: 'responses-in'
  BUDGET_ALERTS_QUEUE: 'budget-alerts-out'
  AZURE_OPENAI_ENDPOINT: modelsEndpoint
}

// What extraSettings may have otherwise; all else is where the resources are, and whose.
var usualSettings = {
  LOG_DIR: '/tmp/tenantry-logs'
  LOG_SHIP_SCHEDULE: '0 */1 * * * *'
  BUDGET_ALERTS_SCHEDULE: '30 */1 * * * *'
  OUTBOX_SWEEP_SCHEDULE: '15 */1 * * * *'
  TENANT_PURGE_SCHEDULE: '45 */1 * * * *'
  WEBHOOK_SCHEDULE: '5/15 * * * * *'
  AZURE_OPENAI_MODEL: loadJsonContent('../models.json').deployments[0].name
}

var nextAdminKey = hasNextAdminKey ? {
  ADMIN_API_KEY_NEXT: '@Microsoft.KeyVault(SecretUri=${vaultUri}secrets/admin-api-key-next)'
} : {}

var shareSettings = (throughputBuckets && size != 'small') ? {
  COSMOS_BACKGROUND_BUCKET: '2'
} : {}

var modelKeys = toObject(modelKeySettings, key => key, key => '@Microsoft.KeyVault(SecretUri=${vaultUri}secrets/${toLower(replace(key, '_', '-'))})')

resource plan 'Microsoft.Web/serverfarms@2024-04-01' = {
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: {
    reserved: true
    zoneRedundant: size != 'small'
  }
}

resource app 'Microsoft.Web/sites@2024-04-01' = {
  name: name
  location: location
  tags: union(tags, { 'azd-service-name': 'app' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    keyVaultReferenceIdentity: identityId
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    functionAppConfig: {
      runtime: {
        name: 'python'
        version: '3.13'
      }
      deployment: {
        storage: {
          type: 'blobContainer'
          value: 'https://${hostStorageName}.blob.${suffix}/${deploymentContainer}'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemory
        maximumInstanceCount: maximumInstances
        alwaysReady: alwaysReady
        triggers: {
          http: { perInstanceConcurrency: httpConcurrency }
        }
      }
    }
    siteConfig: {
      minTlsVersion: '1.2'
      http20Enabled: true
    }
  }
}

resource settings 'Microsoft.Web/sites/config@2024-04-01' = {
  parent: app
  name: 'appsettings'
  properties: union(usualSettings, extraSettings, shareSettings, modelKeys, nextAdminKey, appSettings, hostSettings)
}

resource noFtp 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-04-01' = {
  parent: app
  name: 'ftp'
  properties: { allow: false }
}

resource noPassword 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-04-01' = {
  parent: app
  name: 'scm'
  properties: { allow: false }
}

output name string = app.name
output url string = 'https://${app.properties.defaultHostName}'
