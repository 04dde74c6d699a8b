// The database with the containers of ../cosmos.json, which the local platform and the compose file create, too.
param name string
param location string
param tags object
param size string
param throughputBuckets bool
param privateNetwork bool

@description('Upper end of each container\'s autoscale in request units per second; the lower end is a tenth of it.')
param maxThroughput int = 4000

@minValue(1)
@maxValue(100)
@description('The most that queues and timers together may take of a container: chat has the rest to itself.')
param backgroundPercentage int = 40

var definition = loadJsonContent('../cosmos.json')
var isServerless = size == 'small'
var shared = (throughputBuckets && !isServerless) ? definition.containers : []

resource account 'Microsoft.DocumentDB/databaseAccounts@2024-11-15' = {
  name: name
  location: location
  tags: tags
  kind: 'GlobalDocumentDB'
  properties: {
    databaseAccountOfferType: 'Standard'
    disableLocalAuth: true
    disableKeyBasedMetadataWriteAccess: true
    minimalTlsVersion: 'Tls12'
    publicNetworkAccess: privateNetwork ? 'Disabled' : 'Enabled'
    capabilities: isServerless ? [
      {
        name: 'EnableServerless'
      }
    ] : []
    consistencyPolicy: { defaultConsistencyLevel: 'Session' }
    locations: [
      {
        locationName: location
        failoverPriority: 0
        isZoneRedundant: !isServerless
      }
    ]
    backupPolicy: {
      type: 'Continuous'
      continuousModeProperties: { tier: isServerless ? 'Continuous7Days' : 'Continuous30Days' }
    }
  }
}

resource database 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases@2024-11-15' = {
  parent: account
  name: definition.database
  properties: {
    resource: { id: definition.database }
  }
}

resource containers 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers@2024-11-15' = [for container in definition.containers: {
  parent: database
  name: container.id
  properties: {
    resource: container
    options: isServerless ? {} : { autoscaleSettings: { maxThroughput: maxThroughput } }
  }
}]

// In preview. Bucket 2 is what the app's queues and timers ask in: the setting COSMOS_BACKGROUND_BUCKET of functions.bicep.
resource shares 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/throughputSettings@2025-11-01-preview' = [for (container, i) in shared: {
  parent: containers[i]
  name: 'default'
  properties: {
    resource: {
      autoscaleSettings: { maxThroughput: maxThroughput }
      throughputBuckets: [
        {
          id: 2
          maxThroughputPercentage: backgroundPercentage
        }
      ]
    }
  }
}]

output id string = account.id
output name string = account.name
output endpoint string = account.properties.documentEndpoint
