// Subscribes the app's blob triggers to the events of the data account. A resource group's deployment of its own, after the
// code is there: only then does the host have the key that the address needs, which never leaves Azure this way.
param appName string
param topicName string

var triggered = loadJsonContent('triggers.json')

resource app 'Microsoft.Web/sites@2024-04-01' existing = {
  name: appName
}

resource topic 'Microsoft.EventGrid/systemTopics@2024-06-01-preview' existing = {
  name: topicName
}

var address = 'https://${app.properties.defaultHostName}/runtime/webhooks/blobs'
var key = listKeys('${app.id}/host/default', '2024-04-01').systemKeys.blobs_extension

resource subscriptions 'Microsoft.EventGrid/systemTopics/eventSubscriptions@2024-06-01-preview' = [for trigger in triggered.blobs: {
  parent: topic
  name: replace(trigger.function, '_', '-')
  properties: {
    destination: {
      endpointType: 'WebHook'
      properties: { endpointUrl: '${address}?functionName=Host.Functions.${trigger.function}&code=${key}' }
    }
    filter: {
      includedEventTypes: [
        'Microsoft.Storage.BlobCreated'
      ]
      subjectBeginsWith: '/blobServices/default/containers/${trigger.container}/'
    }
    retryPolicy: {
      maxDeliveryAttempts: 30
      eventTimeToLiveInMinutes: 1440
    }
  }
}]
