/** What a person can do about each kind of syntax error: its sentence and its hint, by the YAML library's code. */
import type { ErrorCode } from 'yaml';

export const SYNTAX_SENTENCES: Readonly<Partial<Record<ErrorCode, readonly [message: string, hint: string]>>> = {
  ALIAS_PROPS: ['An alias (*name) can\'t have an anchor or a tag.', 'Write only *name.'],
  BAD_ALIAS: ['This alias (*name) names no anchor above it.', 'Put text that begins with * in quotes, or set the anchor (&name) before it.'],
  BAD_COLLECTION_TYPE: ['This tag does not fit the value.', 'Remove the tag (!name).'],
  BAD_DIRECTIVE: ['This directive (%) is not known.', 'Remove the line, or put text that begins with % in quotes.'],
  BAD_DQ_ESCAPE: ['A text in double quotes holds an escape that YAML does not know.', 'Write \\\\ for a backslash, or use single quotes.'],
  BAD_INDENT: ['The indentation does not fit the lines above.', 'Use the same number of spaces for all keys of one level.'],
  BAD_PROP_ORDER: ['Anchor or tag stand in the wrong place.', 'Write them before the value.'],
  BAD_SCALAR_START: ['A plain text can\'t begin with this character.', 'Put the text in quotes.'],
  BLOCK_AS_IMPLICIT_KEY: ['A key and its value stand where only a value can.', 'Put a text that holds ": " in quotes, and begin nested keys on a line of their own.'],
  BLOCK_IN_FLOW: ['Lines with - or key: can\'t stand inside brackets.', 'Write it all in brackets, or all as lines.'],
  DUPLICATE_KEY: ['The same key stands twice at this level.', 'Keep one of them.'],
  KEY_OVER_1024_CHARS: ['This key is longer than 1024 characters.', 'Check quotes and colons around here.'],
  MISSING_CHAR: ['A closing quote, bracket or comma is missing.', 'Close what is open here: quotes, [ ] or { }.'],
  MULTILINE_IMPLICIT_KEY: ['A key is spread over several lines, or a colon is missing.', 'Write key: value on one line.'],
  MULTIPLE_ANCHORS: ['A value has two anchors.', 'Keep one of them.'],
  MULTIPLE_DOCS: ['The file holds more than one document.', 'Remove the line --- between them; a configuration is one document.'],
  MULTIPLE_TAGS: ['A value has two tags.', 'Remove the tags (!name).'],
  NON_STRING_KEY: ['A key must be a plain text.', 'Write key: value; put text that begins with { or [ in quotes, such as "${NAME}".'],
  RESOURCE_EXHAUSTION: ['The file is nested too deeply to be read.', 'A configuration has about six levels.'],
  TAB_AS_INDENT: ['A tab is used for indentation.', 'Use spaces.'],
  TAG_RESOLVE_FAILED: ['This tag (!name) is not known.', 'Remove it; put text that begins with ! in quotes.'],
  UNEXPECTED_TOKEN: ['Something stands here that YAML does not expect.', 'Check quotes, brackets and colons around here; inside { } and [ ] write "${NAME}" in quotes.'],
};
