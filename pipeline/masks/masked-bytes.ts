const OUT_BYTES = 1 << 18;
/** Below this a loop is faster than a call out of JavaScript. */
const SHORT_BYTES = 32;

/** Collects what comes out of a mask in blocks of 256 KiB; `sink` may keep what it is handed. */
export class MaskedBytes {
  readonly #sink: (block: Buffer) => void;
  #out = Buffer.allocUnsafeSlow(OUT_BYTES);
  #at = 0;

  constructor(sink: (block: Buffer) => void) {
    this.#sink = sink;
  }

  copy(bytes: Buffer, from: number, to: number): void {
    const length = to - from;
    if (length === 0) return;
    this.#reserve(length);
    const at = this.#at;
    if (length > SHORT_BYTES) bytes.copy(this.#out, at, from, to);
    else for (let index = 0; index < length; index += 1) this.#out[at + index] = bytes[from + index]!;
    this.#at = at + length;
  }

  /** A text of ASCII alone. */
  ascii(text: string): void {
    this.#reserve(text.length);
    this.#at += this.#out.write(text, this.#at, 'latin1');
  }

  /** In UTF-8. */
  text(text: string): void {
    this.#reserve(text.length * 3);
    this.#at += this.#out.write(text, this.#at);
  }

  /** Four bytes, the highest first. */
  int32(value: number): void {
    this.#reserve(4);
    this.#at = this.#out.writeInt32BE(value, this.#at);
  }

  /** Hands on all that was written. */
  hand(): void {
    if (this.#at === 0) return;
    this.#sink(this.#out.subarray(0, this.#at));
    this.#out = this.#out.length - this.#at >= OUT_BYTES / 4 ? this.#out.subarray(this.#at) : Buffer.allocUnsafeSlow(OUT_BYTES);
    this.#at = 0;
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#out.length) return;
    this.hand();
    if (this.#out.length < bytes) this.#out = Buffer.allocUnsafeSlow(Math.max(bytes, OUT_BYTES));
  }
}
