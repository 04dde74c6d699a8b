// Speaks to the endpoint at the connection string given; prints one JSON line with what it saw, or fails.
import { ServiceBusClient } from "@azure/service-bus";

const client = new ServiceBusClient(process.argv[2]);
const seen = {};

const sender = client.createSender("node");
const receiver = client.createReceiver("node");
await sender.sendMessages({ body: { greeting: "hi" }, messageId: "1", applicationProperties: { n: 7 } });
const batch = await sender.createMessageBatch();
for (const name of ["abandon", "defer", "bury"]) batch.tryAddMessage({ body: name });
await sender.sendMessages(batch);

const received = [];
while (received.length < 4) received.push(...(await receiver.receiveMessages(4, { maxWaitTimeInMs: 5000 })));
const [first, abandoned, deferred, buried] = received;
seen.first = { body: first.body, id: first.messageId, n: first.applicationProperties.n, count: first.deliveryCount };
seen.renewed = (await receiver.renewMessageLock(first)) > new Date();
await receiver.completeMessage(first);
await receiver.abandonMessage(abandoned, { tried: 1 });
await receiver.deferMessage(deferred);
await receiver.deadLetterMessage(buried, { deadLetterReason: "why", deadLetterErrorDescription: "because" });

const [again] = await receiver.receiveMessages(1, { maxWaitTimeInMs: 5000 });
seen.again = { body: again.body, count: again.deliveryCount, tried: again.applicationProperties.tried };
await receiver.completeMessage(again);
seen.peeked = (await receiver.peekMessages(10)).map((message) => [message.body, message.state]);
const [found] = await receiver.receiveDeferredMessages([deferred.sequenceNumber]);
await receiver.completeMessage(found);
seen.deferred = found.body;

const dead = client.createReceiver("node", { subQueueType: "deadLetter", receiveMode: "receiveAndDelete" });
const [letter] = await dead.receiveMessages(1, { maxWaitTimeInMs: 5000 });
seen.dead = [letter.body, letter.deadLetterReason, letter.deadLetterErrorDescription];

const [number] = await sender.scheduleMessages([{ body: "never" }], new Date(Date.now() + 3600_000));
await sender.cancelScheduledMessages([number]);
await sender.scheduleMessages([{ body: "soon" }], new Date(Date.now() + 500));
const pumped = await new Promise((resolve, reject) => {
  const pump = receiver.subscribe({
    processMessage: async (message) => resolve(message.body),
    processError: async (args) => reject(args.error),
  });
  seen.pump = typeof pump.close;
});
seen.pumped = pumped;

const sessionSender = client.createSender("node-sessions");
await sessionSender.sendMessages([
  { body: "a", sessionId: "s" },
  { body: "b", sessionId: "s" },
]);
const session = await client.acceptNextSession("node-sessions");
seen.session = session.sessionId;
await session.setSessionState({ half: "way" });
seen.state = await session.getSessionState();
seen.sessionRenewed = (await session.renewSessionLock()) > new Date();
const bodies = [];
while (bodies.length < 2) {
  for (const message of await session.receiveMessages(2, { maxWaitTimeInMs: 5000 })) {
    bodies.push(message.body);
    await session.completeMessage(message);
  }
}
seen.bodies = bodies;
await session.close();

try {
  await client.createSender("nothing").sendMessages({ body: "x" });
} catch (error) {
  seen.unknown = error.code;
}
await client.close();
console.log(JSON.stringify(seen));
