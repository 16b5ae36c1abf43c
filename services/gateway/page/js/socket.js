// The connection: subscribes, keeps the cursor, and comes back by itself where it stood.

const SILENCE_MS = 5000; // a cursor comes twice a second: this much silence means the line is dead
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 8000;

export class Feed {
  #handlers;
  #socket = null;
  #cursor = null;
  #filter = {};
  #asked = 0; // counts subscriptions: each has its number as id
  #answered = false; // whether what comes belongs to the last one
  #failures = 0;
  #retry = 0;
  #watchdog = 0;

  /** handlers: event(message), cursor(message), dropped(message), error(message), state(name, retryInMs) */
  constructor(handlers) {
    this.#handlers = handlers;
    addEventListener("online", () => this.#socket === null && this.#connect());
  }

  get cursor() {
    return this.#cursor;
  }

  /** Starts over at the newest event, with another filter. */
  subscribe(filter) {
    this.#filter = filter;
    this.#cursor = null;
    if (this.#socket?.readyState === WebSocket.OPEN) this.#ask();
    else if (this.#socket === null) this.#connect();
  }

  #connect() {
    clearTimeout(this.#retry);
    this.#handlers.state(this.#failures ? "reconnecting" : "connecting", 0);
    const url = new URL("/ws", location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(url);
    this.#socket = socket;
    this.#expect();
    socket.addEventListener("open", () => this.#ask());
    socket.addEventListener("message", (message) => this.#socket === socket && this.#take(message.data));
    socket.addEventListener("close", () => this.#socket === socket && this.#lost());
  }

  #ask() {
    this.#asked += 1;
    this.#answered = false;
    const id = String(this.#asked);
    this.#socket.send(JSON.stringify({ type: "subscribe", id, filter: this.#filter, cursor: this.#cursor }));
  }

  #take(data) {
    this.#expect();
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return; // no gateway of ours sends this
    }
    if (message.type === "cursor" && message.id === String(this.#asked)) this.#answered = true;
    if (!this.#answered && (message.type === "cursor" || message.type === "event")) return; // of the one before
    if (message.type === "cursor") {
      this.#failures = 0;
      this.#cursor = message.cursor;
    } else if (message.type === "error" && message.reason === "bad-cursor") {
      this.#cursor = null; // from another deployment: begin anew
      this.#ask();
    }
    this.#handlers[message.type]?.(message);
  }

  #expect() {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => {
      this.#socket?.close();
      this.#lost();
    }, SILENCE_MS);
  }

  #lost() {
    clearTimeout(this.#watchdog);
    this.#socket = null;
    const longest = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failures);
    const wait = longest * (0.5 + Math.random() / 2); // not every page at once, when a gateway comes back
    this.#failures += 1;
    this.#handlers.state("reconnecting", wait);
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#connect(), wait);
  }
}
