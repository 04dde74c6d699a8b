// The only secrets that there are: the administrator's keys, what webhooks' secrets are encrypted with, and keys of models outside Azure that an operator puts here.
param name string
param location string
param tags object
param privateNetwork bool

@secure()
param adminApiKey string

@secure()
param adminApiKeyNext string

@secure()
param webhookKey string

// Whoever made the key up, the app takes none below 16 characters. One that is long enough is left as it is, so that what is read
// back from here stays the same.
var longAdminApiKey = (length(adminApiKey) < 16) ? '${adminApiKey}${uniqueString(adminApiKey)}' : adminApiKey

var longWebhookKey = (length(webhookKey) < 16) ? '${webhookKey}${uniqueString(webhookKey)}' : webhookKey

resource vault 'Microsoft.KeyVault/vaults@2023-07-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    tenantId: subscription().tenantId
    sku: {
      family: 'A'
      name: 'standard'
    }
    enableRbacAuthorization: true
    enableSoftDelete: true
    softDeleteRetentionInDays: 90
    enablePurgeProtection: true
    publicNetworkAccess: privateNetwork ? 'Disabled' : 'Enabled'
    networkAcls: {
      defaultAction: privateNetwork ? 'Deny' : 'Allow'
      bypass: 'AzureServices'
    }
  }
}

resource adminKey 'Microsoft.KeyVault/vaults/secrets@2023-07-01' = {
  parent: vault
  name: 'admin-api-key'
  properties: { value: longAdminApiKey }
}

resource nextAdminKey 'Microsoft.KeyVault/vaults/secrets@2023-07-01' = if (!empty(adminApiKeyNext)) {
  parent: vault
  name: 'admin-api-key-next'
  properties: { value: adminApiKeyNext }
}

resource encryptionKey 'Microsoft.KeyVault/vaults/secrets@2023-07-01' = {
  parent: vault
  name: 'webhook-key'
  properties: { value: longWebhookKey }
}

output id string = vault.id
output name string = vault.name
output uri string = vault.properties.vaultUri
