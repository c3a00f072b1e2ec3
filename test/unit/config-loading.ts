/** Loading of texts in tests: the settings, or all problems. */
import { loadSettingsFromText, type LoadedSettings, type LoadOptions } from '../../control/configuration/load.ts';
import { ConfigurationError, type Problem } from '../../control/configuration/problem.ts';

const STRICT: LoadOptions = { env: {}, requireEnv: true };

export function load(text: string, options: Partial<LoadOptions> = {}): Promise<LoadedSettings> {
  return loadSettingsFromText('tidemark.yaml', text, { ...STRICT, ...options });
}

export async function problemsOf(text: string, options: Partial<LoadOptions> = {}): Promise<readonly Problem[]> {
  try {
    await load(text, options);
  } catch (error) {
    if (error instanceof ConfigurationError) return error.problems;
    throw error;
  }
  return [];
}

/** A file with one source that is right, and `more` in it. */
export const oneSource = (more = '', streams = '[A]'): string => `destination: { url: "postgresql://u@h/d" }
sources:
  - id: a
    kind: mysql
    connection: { host: h, database: d, user: u, password: "\${PW:-}x" }
    streams: ${streams}
${more.split('\n').map((line) => (line === '' ? '' : `    ${line}`)).join('\n')}`;
