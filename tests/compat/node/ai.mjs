// The Vercel AI SDK, by its provider for OpenAI and by the one for whatever is compatible with that.
import assert from "node:assert/strict";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const BEGINNING = "[stand-in for gpt-4o]";
const place = { baseURL: process.env.OPENAI_BASE_URL, apiKey: process.env.OPENAI_API_KEY };
const openai = createOpenAI(place);
const compatible = createOpenAICompatible({ name: "tenantry", ...place });
const prompt = "hello";
const weather = tool({
  description: "Tell the weather in a city.",
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `18 degrees in ${city}`,
});

async function converse(model) {
  const { text, usage } = await generateText({ model, prompt });
  assert(text.startsWith(BEGINNING));
  assert(usage.totalTokens > 0);
  let streamed = "";
  for await (const part of streamText({ model, prompt }).textStream) streamed += part;
  assert(streamed.startsWith(BEGINNING));
}

async function callTools(model) {
  const { text } = await generateText({
    model,
    prompt: "What is the weather in Paris?",
    tools: { get_weather: weather },
    stopWhen: stepCountIs(3),
  });
  assert(text.includes("18 degrees in"));
}

async function structure(model) {
  const schema = z.object({ summary: z.string(), score: z.number() });
  const { output } = await generateText({ model, prompt: "judge", output: Output.object({ schema }) });
  assert.equal(typeof output.score, "number");
}

export const chat = () => converse(openai.chat("gpt-4o"));
export const chatTools = () => callTools(openai.chat("gpt-4o"));
export const chatStructure = () => structure(openai.chat("gpt-4o"));
export const compatibleChat = () => converse(compatible("gpt-4o"));
export const compatibleTools = () => callTools(compatible("gpt-4o"));
export const responses = () => converse(openai.responses("gpt-4o"));
export const responsesTools = () => callTools(openai.responses("gpt-4o"));
export const responsesStructure = () => structure(openai.responses("gpt-4o"));

export async function embeddings() {
  const model = openai.embedding("text-embedding-3-small");
  const { embeddings } = await embedMany({ model, values: ["hello", "bye"] });
  assert.deepEqual(embeddings.map((one) => one.length), [1536, 1536]);
}
