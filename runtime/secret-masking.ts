/**
 * Masking by value, at the sink: whoever resolves a secret registers it here, and it is masked wherever it would be
 * written, whichever field, URL, array or stack trace it got into.
 */
const MASK = '[masked]';

/** Shorter values can't be told from ordinary text; they are masked by their field's name only. */
const SECRET_LENGTH_MIN = 4;

const forms = new Map<string, readonly string[]>();
let pattern: RegExp | null = null;

/** The parts of base64 text that do not depend on what stands before and after the secret, for each of the three alignments. */
function base64Cores(value: string): string[] {
  const bytes = Buffer.from(value, 'utf8');
  const cores: string[] = [];
  for (const offset of [0, 1, 2]) {
    const encoded = Buffer.concat([Buffer.alloc(offset), bytes]).toString('base64').replace(/=+$/, '');
    const from = Math.ceil((offset * 8) / 6);
    const to = Math.floor(((offset + bytes.length) * 8) / 6);
    const core = encoded.slice(from, to);
    if (core.length >= 2 * SECRET_LENGTH_MIN) cores.push(core, core.replaceAll('+', '-').replaceAll('/', '_'));
  }
  return cores;
}

function spellings(value: string): string[] {
  const json = JSON.stringify(value).slice(1, -1);
  const percent = encodeURIComponent(value);
  const all = [
    value,
    json,
    JSON.stringify(json).slice(1, -1),
    percent,
    percent.replaceAll('%20', '+'),
    percent.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase()),
    encodeURI(value),
    Buffer.from(value, 'utf8').toString('hex'),
    ...base64Cores(value),
  ];
  return all.filter((spelling) => spelling.length >= SECRET_LENGTH_MIN);
}

/** Registers a secret for the life of the process. Safe to call often with the same value; empty and very short values are ignored. */
export function registerSecret(value: string | null | undefined): void {
  if (!value || value.length < SECRET_LENGTH_MIN || forms.has(value)) return;
  forms.set(value, spellings(value));
  pattern = null;
}

/** Registers the password of a URL, decoded and as written. A text that is no URL is left alone. */
export function registerUrlSecrets(url: string | null | undefined): void {
  if (!url || !URL.canParse(url)) return;
  const { password } = new URL(url);
  registerSecret(password);
  try {
    registerSecret(decodeURIComponent(password));
  } catch {
    // A stray percent sign: the form as written is registered.
  }
}

function compiled(): RegExp | null {
  if (pattern === null && forms.size > 0) {
    const longestFirst = [...new Set([...forms.values()].flat())].sort((a, b) => b.length - a.length);
    pattern = new RegExp(longestFirst.map((form) => form.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&')).join('|'), 'g');
  }
  return pattern;
}

/** The text with every registered secret replaced: raw, JSON-escaped, URL-encoded, hexadecimal and base64. */
export function maskSecrets(text: string): string {
  const secrets = compiled();
  return secrets === null ? text : text.replace(secrets, MASK);
}
