// The admin API of the node that this page is from: requests, and the figures as they come.

const SILENCE_MAX_MS = 6_000;
const AGAIN_MS = 1_000;
const AGAIN_MAX_MS = 15_000;

export class ApiError extends Error {
  constructor(status, { reason = "", message = "", retry_after_ms } = {}) {
    super(message || `the node answered ${status}`);
    this.status = status;
    this.reason = reason;
    this.retryAfterMs = retry_after_ms;
  }

  /** With another token it might be done. */
  get isOfToken() {
    return this.status === 401 || this.status === 403;
  }
}

async function problem(response) {
  const answer = await response.json().catch(() => ({}));
  return new ApiError(response.status, answer.error);
}

export class Api {
  #token;

  constructor(token) {
    this.#token = token;
  }

  get #headers() {
    return { authorization: `Bearer ${this.#token}` };
  }

  async ask(method, path, body) {
    const headers = body === undefined ? this.#headers : { ...this.#headers, "content-type": "application/json" };
    let response;
    try {
      response = await fetch(`/admin/v1/${path}`, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    } catch {
      throw new ApiError(0, { message: "The node does not answer." });
    }
    if (!response.ok) throw await problem(response);
    return response.json();
  }

  /** Lines of figures, until `signal` says so. After a break it begins anew with the whole of what is known. */
  async watch({ signal, onLine, onState, onRefused }) {
    for (let tries = 0; !signal.aborted; tries++) {
      const attempt = new AbortController();
      const stop = () => attempt.abort();
      signal.addEventListener("abort", stop);
      let silence;
      const heard = () => {
        clearTimeout(silence);
        silence = setTimeout(stop, SILENCE_MAX_MS);
      };
      try {
        heard();
        const response = await fetch("/admin/v1/live", { headers: this.#headers, signal: attempt.signal });
        if (!response.ok) throw await problem(response);
        let isFirst = true;
        for await (const line of lines(response.body)) {
          heard();
          tries = 0;
          onLine(line, isFirst);
          isFirst = false;
        }
      } catch (error) {
        if (error.isOfToken && !signal.aborted) {
          onRefused(error);
          return;
        }
      } finally {
        clearTimeout(silence);
        signal.removeEventListener("abort", stop);
      }
      if (signal.aborted) return;
      // Never at the same moment as everybody else.
      const wait = Math.min(AGAIN_MAX_MS, AGAIN_MS * 2 ** tries) * (0.5 + Math.random() / 2);
      onState(wait);
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
}

async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    for (let end = rest.indexOf("\n"); end >= 0; end = rest.indexOf("\n")) {
      yield JSON.parse(rest.slice(0, end));
      rest = rest.slice(end + 1);
    }
  }
}
