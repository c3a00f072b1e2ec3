/** Commands as a person can paste them into a shell. */

/** A source and one of its streams, as the arguments of a command: `hq --stream account`. */
export function streamWords({ source, stream }: { readonly source: string; readonly stream: string }): string {
  return `${shellWord(source)} --stream ${shellWord(stream)}`;
}

/** A name as a shell takes it. */
export function shellWord(name: string): string {
  return /^[\w.:@/][\w.:@/-]*$/.test(name) ? name : `'${name.replaceAll("'", String.raw`'\''`)}'`;
}
