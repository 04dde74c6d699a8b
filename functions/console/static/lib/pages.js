/**
 * Every page, by its address. A page's module is loaded when it is visited; its default export is a component that
 * gets `params` (of the path) and `query` (of the address).
 *
 * @typedef {object} PageEntry
 * @property {string} path Such as "/prompts/:name".
 * @property {string} title For the menu and the palette.
 * @property {"user"|"tenant_admin"|"admin"} role The least one that sees it.
 * @property {string} [group] Where it stands in the menu; without one it is no entry there.
 * @property {boolean} [platform] Works without a tenant, for the administrator.
 * @property {() => Promise<{default: any}>} load
 */

/** The groups of the menu, in order. */
export const GROUPS = ["Home", "Build", "Watch", "Work", "Manage", "Platform"];

/** @type {PageEntry[]} */
export const PAGES = [
  { path: "/overview", title: "Overview", role: "tenant_admin", group: "Home", load: () => import("../pages/overview.js") },
  { path: "/tenants", title: "Tenants", role: "admin", group: "Platform", platform: true, load: () => import("../pages/tenants.js") },
  { path: "/tenants/:tenant_id", title: "Tenant", role: "admin", platform: true, load: () => import("../pages/tenant.js") },
  { path: "/settings", title: "Settings", role: "tenant_admin", group: "Manage", load: () => import("../pages/settings.js") },
  { path: "/keys", title: "Tenant and keys", role: "tenant_admin", group: "Manage", load: () => import("../pages/tenant.js") },
  { path: "/limits", title: "Limits", role: "tenant_admin", group: "Manage", load: () => import("../pages/limits.js") },
  { path: "/webhooks", title: "Webhooks", role: "tenant_admin", group: "Manage", load: () => import("../pages/webhooks.js") },
  { path: "/webhooks/:webhook_id", title: "Webhook", role: "tenant_admin", load: () => import("../pages/webhook.js") },
  { path: "/audit", title: "Audit", role: "tenant_admin", group: "Manage", platform: true, load: () => import("../pages/audit.js") },
  { path: "/prompts", title: "Prompts", role: "user", group: "Build", load: () => import("../pages/prompts.js") },
  { path: "/bots", title: "Bots", role: "user", group: "Build", load: () => import("../pages/bots.js") },
  { path: "/bots-new", title: "New bot", role: "tenant_admin", load: () => import("../pages/bot.js") },
  { path: "/bots/:bot_id", title: "Bot", role: "user", load: () => import("../pages/bot.js") },
  { path: "/playground", title: "Playground", role: "user", group: "Build", load: () => import("../pages/playground.js") },
  { path: "/models", title: "Models", role: "tenant_admin", group: "Build", platform: true, load: () => import("../pages/models.js") },
  { path: "/conversations", title: "Conversations", role: "user", group: "Watch", load: () => import("../pages/conversations.js") },
  { path: "/bots/:bot_id/conversations/:conversation_id", title: "Conversation", role: "user", load: () => import("../pages/conversation.js") },
  { path: "/calls", title: "Model calls", role: "tenant_admin", group: "Watch", load: () => import("../pages/calls.js") },
  { path: "/calls/:request_id", title: "The way of a request", role: "tenant_admin", load: () => import("../pages/call.js") },
  { path: "/usage", title: "Usage and cost", role: "tenant_admin", group: "Watch", load: () => import("../pages/usage.js") },
  { path: "/logs", title: "Logs", role: "tenant_admin", group: "Watch", load: () => import("../pages/logs.js") },
  { path: "/health", title: "Health", role: "tenant_admin", group: "Watch", platform: true, load: () => import("../pages/health.js") },
  { path: "/jobs", title: "Reasoning jobs", role: "user", group: "Work", load: () => import("../pages/jobs.js") },
  { path: "/jobs-new", title: "New job", role: "user", load: () => import("../pages/job_new.js") },
  { path: "/jobs/:job_id", title: "Reasoning job", role: "user", load: () => import("../pages/job.js") },
  { path: "/feedback", title: "Feedback", role: "user", group: "Work", load: () => import("../pages/feedback.js") },
  { path: "/feedback/:feedback_id", title: "One feedback", role: "user", load: () => import("../pages/feedback_one.js") },
  { path: "/feedback-import", title: "Import feedback", role: "user", load: () => import("../pages/feedback_import.js") },
  { path: "/dead-letters", title: "Dead letters", role: "tenant_admin", group: "Work", platform: true, load: () => import("../pages/dead_letters.js") },
  { path: "/prompts-new", title: "New prompt", role: "tenant_admin", load: () => import("../pages/prompt.js") },
  { path: "/prompts/:name", title: "Prompt", role: "user", load: () => import("../pages/prompt.js") },
];

/** Where a role begins. @param {string} role @param {boolean} hasTenant @returns {string} */
export function homeOf(role, hasTenant) {
  if (role === "admin" && !hasTenant) return "/tenants";
  return role === "user" ? "/playground" : "/overview";
}
