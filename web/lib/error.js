// What can go wrong, in the words of the protocol.

/** A refusal of the server, or a request that got no answer. `retryable` says whether the same may work later. */
export class TurnpikeError extends Error {
  constructor({ code, reason, message, retryable, retry_after_ms }) {
    super(message ?? reason);
    this.name = "TurnpikeError";
    Object.assign(this, { code, reason, retryable: retryable === true, retryAfterMs: retry_after_ms });
  }
}

export const TOO_LARGE = 103;
export const LIMIT_REACHED = 109;
export const UNAVAILABLE = 110;

export const lost = (message = "the connection was lost") =>
  new TurnpikeError({ code: UNAVAILABLE, reason: "unavailable", message, retryable: true });

/** The connection was closed over it. */
export const tooLarge = () =>
  new TurnpikeError({ code: TOO_LARGE, reason: "too_large", message: "the server takes nothing as large as this", retryable: false });

export const closed = () =>
  new TurnpikeError({ code: UNAVAILABLE, reason: "unavailable", message: "the client was closed", retryable: false });
