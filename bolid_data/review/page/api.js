// Requests. Changes wait in a queue, in their order: while another command has the dataset, nothing is lost.

import { byId, counted, tell } from "./dom.js";

export class Failed extends Error {
  constructor(answer, status) {
    super(answer.error ?? `the server answered ${status}`);
    this.busy = Boolean(answer.busy);
    this.expired = Boolean(answer.expired);
  }
}

async function answered(response) {
  const text = await response.text();
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    answer = { error: text.trim() };
  }
  if (!response.ok) throw new Failed(answer, response.status);
  return answer;
}

export async function get(path, query = {}, signal = undefined) {
  const chosen = Object.entries(query).filter(([, value]) => value !== "" && value !== undefined && value !== false);
  const search = new URLSearchParams(chosen).toString();
  return answered(await fetch(search ? `${path}?${search}` : path, { signal }));
}

export async function post(path, body) {
  const headers = { "content-type": "application/json" };
  return answered(await fetch(path, { method: "POST", headers, body: JSON.stringify(body) }));
}

// The queue outlives a reload of the page.
const KEPT = "changes";
const queue = JSON.parse(sessionStorage.getItem(KEPT) ?? "[]");
const listeners = [];
let running = false;

/** `listener(answer, change)` is called after every change that was made, or with an error. */
export const onChange = (listener) => listeners.push(listener);

/** Sends a change once those before it are made. */
export function change(path, body) {
  const last = queue.at(-1);
  // Decisions of one kind that wait behind another go together.
  const joins = queue.length > 1 && last.path === path && path === "api/decide" && body.what !== "clear"
    && ["what", "person", "why", "new"].every((key) => last.body[key] === body[key])
    && !body.photos.some((photo) => last.body.photos.includes(photo));
  if (joins) last.body.photos.push(...body.photos);
  else queue.push({ path, body: { id: crypto.randomUUID(), ...body } });
  keep();
  run();
}

export const waiting = () => queue.length;

async function run() {
  if (running) return;
  running = true;
  let delay = 400;
  while (queue.length) {
    const next = queue[0];
    let answer = null;
    let error = null;
    try {
      answer = await post(next.path, next.body);
    } catch (failure) {
      // A network error is worth trying again, as is a dataset that is in use.
      if (failure.busy || !(failure instanceof Failed)) {
        show(failure.busy ? failure.message : "The server does not answer.");
        await new Promise((resolve) => setTimeout(resolve, delay));
        delay = Math.min(delay * 1.6, 5000);
        continue;
      }
      error = failure;
    }
    delay = 400;
    queue.shift();
    keep();
    if (error) tell(error.message, true);
    for (const listener of listeners) listener(answer, next, error);
  }
  running = false;
}

function keep() {
  sessionStorage.setItem(KEPT, JSON.stringify(queue));
  show("");
}

function show(why) {
  const shown = byId("queue");
  shown.hidden = !why;
  shown.textContent = why && `${why} ${counted(queue.length, "change")} will be made as soon as it is free.`;
}

addEventListener("beforeunload", (event) => {
  if (queue.length) event.preventDefault();
});

export const resume = () => run();
