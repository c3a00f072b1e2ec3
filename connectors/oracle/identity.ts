/** Identity now; the parts that need a privilege are null without it. */
export interface ServerIdentity {
  readonly database: string;
  readonly container: string;
  readonly dbid: string | null;
  readonly scn: string | null;
  /** SCN at which this incarnation of the database was opened with RESETLOGS. */
  readonly resetlogs: string | null;
}

/** `DB/CONTAINER/DBID`; the last part is `-` where the user may not see it. */
export function serverText(server: ServerIdentity): string {
  return `${server.database}/${server.container}/${server.dbid ?? '-'}`;
}

/** Whether two texts of {@link serverText} may mean the same server. */
export function isSameServer(a: string, b: string): boolean {
  const [[databaseA, containerA, idA], [databaseB, containerB, idB]] = [a.split('/'), b.split('/')];
  return databaseA === databaseB && containerA === containerB && (idA === idB || idA === '-' || idB === '-');
}
