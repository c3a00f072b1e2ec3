export interface SourceFile {
  readonly kind: string;
  /** YAML flow text. */
  readonly connection: string;
  /** YAML flow text of the one stream. */
  readonly stream: string;
  /** The block `keys:`; may be empty. */
  readonly keys?: string;
  /** A day by default, so that nothing but the bench starts a run. */
  readonly pollInterval?: string;
}

/** A configuration with the one source `bench`. */
export function sourceFile({ kind, connection, stream, keys = '', pollInterval = '1d' }: SourceFile): string {
  return `destination:
  url: "\${DESTINATION_URL}"
${keys}sources:
  - id: bench
    kind: ${kind}
    connection: ${connection}
    poll_interval: ${pollInterval}
    streams:
      - ${stream}
`;
}
