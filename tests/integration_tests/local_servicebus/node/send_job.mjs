// Sends a reasoning job and waits for its result: node send_job.mjs CONNECTION_STRING TENANT ID
import { ServiceBusClient } from "@azure/service-bus";

const [connectionString, tenant, id] = process.argv.slice(2);
const client = new ServiceBusClient(connectionString);
const sender = client.createSender("reasoner-in");
await sender.sendMessages({
  body: { tenant_id: tenant, id, taskId: "4711", text: "The printer prints every page twice." },
  messageId: id,
  sessionId: tenant, // the queue requires one
  contentType: "application/json",
});

const receiver = client.createReceiver("reasoner-out");
for await (const message of receiver.getMessageIterator()) {
  await receiver.completeMessage(message);
  if (message.messageId !== `${tenant}:${id}`) continue; // another job's
  console.log(message.body.message, message.body.taskId);
  break;
}
await client.close();
