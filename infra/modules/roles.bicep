// What each identity may do, all of it. tests/unit_tests/infra/test_policies.py holds the same list.
param appPrincipalId string
param deployerPrincipalId string
param deployerPrincipalType string
param cosmosName string
param servicebusName string
param hostStorageName string
param dataStorageName string
param vaultName string
param modelsName string
param insightsName string

@description('Built-in roles by name.')
var roleIds = {
  blobDataOwner: 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
  blobDataContributor: 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
  queueDataContributor: '974c5e8b-45b9-4653-ba55-5f855dd0fb88'
  tableDataContributor: '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3'
  servicebusReceiver: '4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0'
  servicebusSender: '69a216fc-b8fb-44d8-bc22-1f3c2cd27a39'
  vaultSecretsUser: '4633458b-17de-408a-b874-0445c86b69e6'
  openAIUser: '5e0bd9bd-7b93-4f28-af87-19fc36ad61bd'
  metricsPublisher: '3913510d-42f4-4e42-8a64-420c390055eb'
}
var queues = loadJsonContent('../../local/servicebus/Config.json').UserConfig.Namespaces[0].Queues
var blobContainers = loadJsonContent('../storage.json').containers
var triggered = loadJsonContent('../triggers.json')
var database = loadJsonContent('../cosmos.json').database

resource cosmos 'Microsoft.DocumentDB/databaseAccounts@2024-11-15' existing = {
  name: cosmosName
}

resource servicebus 'Microsoft.ServiceBus/namespaces@2022-10-01-preview' existing = {
  name: servicebusName
}

resource sentTo 'Microsoft.ServiceBus/namespaces/queues@2022-10-01-preview' existing = [for queue in queues: {
  parent: servicebus
  name: queue.Name
}]

resource receivedFrom 'Microsoft.ServiceBus/namespaces/queues@2022-10-01-preview' existing = [for queue in triggered.queues: {
  parent: servicebus
  name: queue
}]

resource hostStorage 'Microsoft.Storage/storageAccounts@2023-05-01' existing = {
  name: hostStorageName
}

resource dataStorage 'Microsoft.Storage/storageAccounts@2023-05-01' existing = {
  name: dataStorageName
}

resource dataBlobs 'Microsoft.Storage/storageAccounts/blobServices@2023-05-01' existing = {
  parent: dataStorage
  name: 'default'
}

resource dataContainers 'Microsoft.Storage/storageAccounts/blobServices/containers@2023-05-01' existing = [for container in blobContainers: {
  parent: dataBlobs
  name: container
}]

resource vault 'Microsoft.KeyVault/vaults@2023-07-01' existing = {
  name: vaultName
}

resource adminKey 'Microsoft.KeyVault/vaults/secrets@2023-07-01' existing = {
  parent: vault
  name: 'admin-api-key'
}

resource models 'Microsoft.CognitiveServices/accounts@2024-10-01' existing = {
  name: modelsName
}

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: insightsName
}

// Items and queries of one database. Databases, containers, throughput and keys are nobody's but the deployment's.
resource itemsRole 'Microsoft.DocumentDB/databaseAccounts/sqlRoleDefinitions@2024-11-15' = {
  parent: cosmos
  name: guid(cosmos.id, 'tenantry-items')
  properties: {
    roleName: 'Tenantry items'
    type: 'CustomRole'
    assignableScopes: [
      cosmos.id
    ]
    permissions: [
      {
        dataActions: [
          'Microsoft.DocumentDB/databaseAccounts/readMetadata'
          'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items/*'
          'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/executeQuery'
        ]
      }
    ]
  }
}

resource appItems 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2024-11-15' = {
  parent: cosmos
  name: guid(cosmos.id, appPrincipalId, 'tenantry-items')
  properties: {
    roleDefinitionId: itemsRole.id
    principalId: appPrincipalId
    scope: '${cosmos.id}/dbs/${database}'
  }
}

resource appReceives 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (queue, i) in triggered.queues: {
  name: guid(servicebus.id, queue, appPrincipalId, roleIds.servicebusReceiver)
  scope: receivedFrom[i]
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.servicebusReceiver)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}]

resource appSends 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (queue, i) in queues: {
  name: guid(servicebus.id, queue.Name, appPrincipalId, roleIds.servicebusSender)
  scope: sentTo[i]
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.servicebusSender)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}]

// The host's own locks, leases and keys, and the package; the Functions documentation asks for Owner.
resource hostBlobs 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(hostStorage.id, appPrincipalId, roleIds.blobDataOwner)
  scope: hostStorage
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.blobDataOwner)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// The blob trigger's own queue.
resource hostQueues 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(hostStorage.id, appPrincipalId, roleIds.queueDataContributor)
  scope: hostStorage
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.queueDataContributor)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// The host's diagnostic events.
resource hostTables 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(hostStorage.id, appPrincipalId, roleIds.tableDataContributor)
  scope: hostStorage
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.tableDataContributor)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource dataContainerBlobs 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (container, i) in blobContainers: {
  name: guid(dataStorage.id, container, appPrincipalId, roleIds.blobDataContributor)
  scope: dataContainers[i]
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.blobDataContributor)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}]

// What the blob trigger gives up goes to a queue of the blobs' account.
resource dataQueues 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(dataStorage.id, appPrincipalId, roleIds.queueDataContributor)
  scope: dataStorage
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.queueDataContributor)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource appSecrets 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault.id, appPrincipalId, roleIds.vaultSecretsUser)
  scope: vault
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.vaultSecretsUser)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource appModels 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(models.id, appPrincipalId, roleIds.openAIUser)
  scope: models
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.openAIUser)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource appTelemetry 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(insights.id, appPrincipalId, roleIds.metricsPublisher)
  scope: insights
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.metricsPublisher)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// For the smoke test after a deployment: that one secret.
resource deployerAdminKey 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(deployerPrincipalId)) {
  name: guid(vault.id, 'admin-api-key', deployerPrincipalId, roleIds.vaultSecretsUser)
  scope: adminKey
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.vaultSecretsUser)
    principalId: deployerPrincipalId
    principalType: deployerPrincipalType
  }
}
