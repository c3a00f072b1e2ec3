/** The forms in which a secret or a row's value may leak, and the search for them. */

/** The three ways in which base64 spells a text within a longer one, without the characters that depend on its neighbours. */
function base64Cores(text: string): string[] {
  return [0, 1, 2].map((shift) => {
    const bytes = Buffer.concat([Buffer.alloc(shift), Buffer.from(text)]);
    const whole = bytes.subarray(0, bytes.length - (bytes.length % 3)).toString('base64');
    return whole.slice(shift === 0 ? 0 : 4);
  });
}

/** Raw, JSON-escaped (once and twice), URL-encoded, hexadecimal and base64. */
export function spellings(text: string): string[] {
  const json = JSON.stringify(text).slice(1, -1);
  const ascii = json.replaceAll(/[\u0080-\uffff]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
  const forms = [text, json, ascii, JSON.stringify(json).slice(1, -1), encodeURIComponent(text), Buffer.from(text).toString('hex'), ...base64Cores(text)];
  return [...new Set(forms)];
}

/** Which of `texts` stand in `content`, in any spelling; names of what was found, not the content. */
export function leaks(content: string | Buffer, texts: Readonly<Record<string, string>>): string[] {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  return Object.entries(texts).flatMap(([name, text]) => (spellings(text).some((form) => bytes.includes(form)) ? [name] : []));
}
