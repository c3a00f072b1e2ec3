/**
 * The name of a step of a stream's sync, which makes its batch: the same name is the same batch, whoever tries it.
 * `kind`: `i` increment, `c` catch-up of a build, `d` scan for deleted rows, `p<part>` a part of a build.
 */
export function stepName(poll: number, chapter: number, kind: string, sequence: number): string {
  return `${poll}.${chapter}.${kind}.${sequence}`;
}
