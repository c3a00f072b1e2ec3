/** Text that is safe on a terminal: names from a database can't move the cursor, clear the screen or reverse the reading order. */

const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ufff9-\ufffb]|\p{Cs}/gu;

/** Styles that picocolors writes: bold, dim, italic, underlined and the sixteen foreground colours. */
const STYLE = /(\u001b\[(?:[0-4]|2[2-4]|3[0-79]|9[0-7])m)/;

const escapeOne = (character: string): string => {
  if (character === '\n') return '\\n';
  if (character === '\r') return '\\r';
  if (character === '\t') return '\\t';
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
};

/** One line: control characters, line ends and bidirectional marks are shown as `\u202e`. */
export function safeLine(text: string): string {
  return text.replace(UNSAFE, escapeOne);
}

/** Several lines: line ends and tabs stay, and where `styled` the colours of our own output. */
export function safeText(text: string, styled: boolean): string {
  const keepLayout = (part: string): string => part.replace(UNSAFE, (character) => (character === '\n' || character === '\t' ? character : escapeOne(character)));
  if (!styled) return keepLayout(text);
  return text.split(STYLE).map((part, index) => (index % 2 === 1 ? part : keepLayout(part))).join('');
}

/** JSON says the same with unusual characters escaped, and stays one line. */
export function safeJson(document: unknown): string {
  return JSON.stringify(document).replace(UNSAFE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
