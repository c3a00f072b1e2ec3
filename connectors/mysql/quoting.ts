/** Names and values as SQL text that no content can break out of, whatever the session's sql_mode. */

/** A name in backticks. */
export function quoteName(name: string): string {
  return `\`${name.replaceAll('`', '``')}\``;
}

/** `database`.`table` */
export function quoteTable(table: { readonly schema: string; readonly name: string }): string {
  return `${quoteName(table.schema)}.${quoteName(table.name)}`;
}

/**
 * A text literal. Hexadecimal, so that it needs no escaping; the server converts it to the compared column's
 * character set as it does for any literal, and compares with the column's collation.
 */
export function quoteText(value: string): string {
  return value === '' ? "''" : `_utf8mb4 x'${Buffer.from(value, 'utf8').toString('hex')}'`;
}
