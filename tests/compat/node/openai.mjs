// npm's official client.
import assert from "node:assert/strict";
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

const BEGINNING = "[stand-in for gpt-4o]";
const model = "gpt-4o";
const messages = [{ role: "user", content: "hello" }];
const client = new OpenAI({ maxRetries: 0 });
const tool = {
  name: "get_weather",
  description: "Tell the weather in a city.",
  parameters: {
    type: "object",
    properties: { city: { type: "string" } },
    required: ["city"],
    additionalProperties: false,
  },
};

export async function chat() {
  const answer = await client.chat.completions.create({ model, messages });
  assert(answer.choices[0].message.content.startsWith(BEGINNING));
  assert(answer.usage.total_tokens > 0);
}

export async function stream() {
  const parts = await client.chat.completions.create({ model, messages, stream: true });
  let text = "";
  for await (const part of parts) text += part.choices[0]?.delta?.content ?? "";
  assert(text.startsWith(BEGINNING));
}

export async function tools() {
  const asked = [{ role: "user", content: "What is the weather in Paris?" }];
  const tools = [{ type: "function", function: tool }];
  const called = await client.chat.completions.create({ model, messages: asked, tools });
  const [call] = called.choices[0].message.tool_calls;
  assert.equal(call.function.name, "get_weather");
  const told = await client.chat.completions.create({
    model,
    tools,
    messages: [...asked, called.choices[0].message, { role: "tool", tool_call_id: call.id, content: "18 degrees" }],
  });
  assert(told.choices[0].message.content.includes("18 degrees"));
}

export async function parsed() {
  const shape = z.object({ summary: z.string(), score: z.number() });
  const answer = await client.chat.completions.parse({
    model,
    messages,
    response_format: zodResponseFormat(shape, "verdict"),
  });
  assert.equal(typeof answer.choices[0].message.parsed.score, "number");
}

export async function embeddings() {
  const answer = await client.embeddings.create({ model: "text-embedding-3-small", input: ["hello", "bye"] });
  assert.deepEqual(answer.data.map((one) => one.embedding.length), [1536, 1536]);
}

export async function models() {
  const names = [];
  for await (const one of client.models.list()) names.push(one.id);
  assert(names.includes(model));
  assert.equal((await client.models.retrieve(model)).id, model);
}

export async function errors() {
  const wrong = new OpenAI({ apiKey: "sk-wrong", maxRetries: 0 });
  await assert.rejects(wrong.chat.completions.create({ model, messages }), OpenAI.AuthenticationError);
  await assert.rejects(client.chat.completions.create({ model: "gpt-unknown", messages }), OpenAI.NotFoundError);
  await assert.rejects(client.chat.completions.create({ model, messages: "hello" }), OpenAI.BadRequestError);
}

export async function responses() {
  const answer = await client.responses.create({ model, input: "hello" });
  assert(answer.output_text.startsWith(BEGINNING));
  const events = [];
  for await (const event of await client.responses.create({ model, input: "hello", stream: true })) {
    events.push(event.type);
  }
  assert.equal(events[0], "response.created");
  assert.equal(events.at(-1), "response.completed");
}
