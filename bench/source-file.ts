export interface SourceFile {
  readonly kind: string;
  /** YAML flow text. */
  readonly connection: string;
  /** YAML flow text of the one stream. */
  readonly stream: string;
  /** That of a second source, `small`, with the same connection. */
  readonly small?: string;
  /** The block `keys:`; may be empty. */
  readonly keys?: string;
  /** A day by default, so that nothing but the bench starts a run. */
  readonly pollInterval?: string;
}

/** A configuration with the source `bench`. */
export function sourceFile({ kind, connection, stream, small, keys = '', pollInterval = '1d' }: SourceFile): string {
  const source = (id: string, streams: string): string => `  - id: ${id}
    kind: ${kind}
    connection: ${connection}
    poll_interval: ${pollInterval}
    streams:
      - ${streams}
`;
  return `destination:
  url: "\${DESTINATION_URL}"
${keys}sources:
${source('bench', stream)}${small === undefined ? '' : source('small', small)}`;
}
