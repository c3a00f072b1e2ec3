export interface FoundServers {
  readonly postgres: string | null;
  readonly mariadb: string | null;
  readonly temporal: string | null;
  /** Folder of Derby's jars. */
  readonly db2: string | null;
}
export function which(name: string, env?: NodeJS.ProcessEnv): string | null;
export function findServers(root: string, env?: NodeJS.ProcessEnv): FoundServers;
