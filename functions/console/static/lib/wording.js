/** Plain words for names of the API; those of the first page, whose words say it already, are not among them. */
import { words } from "./format.js";

/** What names of the API are to people, where the words in them do not say it. */
const PLAIN = {
  "admin.act": "Administrator acted for the tenant", "content.read": "What a call said was read", "deadletter.delete": "Dead letter deleted", "deadletter.replay": "Dead letter replayed",
  "key.create": "Key created", "key.revoke": "Key revoked", "key.rotate": "Key rotated", "limits.delete": "Own limits taken back", "limits.put": "Own limits given",
  "model.delete": "Model removed", "model.put": "Model stored", "setting.delete": "Setting reset", "setting.put": "Setting changed",
  "tenant.create": "Tenant created", "tenant.export": "Tenant exported", "tenant.purge": "Tenant purged", "tenant.update": "Tenant changed",
  "webhook.create": "Webhook added", "webhook.delete": "Webhook deleted", "webhook.rotate": "Secret of a webhook rotated",
  admin: "Administrator", tenant_admin: "Administrator of the tenant", "openai-compatible": "Compatible with OpenAI", openai: "All that speak OpenAI's interface", azure: "Azure", "azure-api-version": "Azure, by a version of its API",
  json_schema: "JSON by a schema", json_object: "JSON", o200k_base: "o200k_base", cl100k_base: "cl100k_base", xhigh: "Extra high", buffer: "The latest turns", summary: "The latest turns and a summary",
  cosmos: "In the store", memory: "In the process alone", llm: "Model",
};

/** A name of the API in plain words: "key.create" is "Key created". @param {string|null|undefined} name @returns {string} */
export function plain(name) {
  return name && Object.hasOwn(PLAIN, name) ? PLAIN[name] : words(name);
}
