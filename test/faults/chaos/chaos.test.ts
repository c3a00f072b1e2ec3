/**
 * Everything at once: a random schedule of faults while the source is written to, then all is healed and must be equal. CI plays a short one of
 * a fixed seed; `npm run test:chaos -- --seed N --minutes M` plays others. A seed that failed is played again by its number.
 */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describeWith } from '../../support/describe-with.ts';
import { engineOf } from '../fault-source.ts';
import { ChaosRun } from './chaos-run.ts';
import { scheduleOf } from './schedule.ts';

const seed = Number(process.env['TIDEMARK_CHAOS_SEED'] ?? 11);
const minutes = Number(process.env['TIDEMARK_CHAOS_MINUTES'] ?? 0.75);
const engine = engineOf(process.env['TIDEMARK_CHAOS_SOURCE'] ?? 'postgres');

/** Starting, healing and the last syncs. */
const AROUND_MS = 600_000;
const say = (line: string) => void process.stderr.write(`${line}\n`);

const SWITCH = pathToFileURL(join(import.meta.dirname, '..', '..', 'hazards', 'switch-off.js')).href;
/** Long enough for a dozen late commits. */
const WITHOUT_FAULTS_MS = 20_000;

describeWith(engine.needs, `chaos, seed ${seed}, ${minutes} minutes, ${engine.kind}`, () => {
  test('source and target are equal, and nothing is left behind', async () => {
    say(`chaos: seed ${seed}, ${minutes} minutes, ${engine.kind}. Again: npm run test:chaos -- --seed ${seed} --minutes ${minutes} --source ${engine.kind}`);
    const run = await ChaosRun.start({ engine, seed, say });
    expect(await run.play(scheduleOf(seed, minutes), minutes * 60_000)).toEqual([]);
  }, minutes * 60_000 + AROUND_MS);
});

describeWith(engineOf('postgres').needs, 'chaos can go red', () => {
  test('without the scan for late commits, a run with no fault at all loses rows', async () => {
    const env = { NODE_OPTIONS: `--import ${SWITCH}`, TIDEMARK_TEST_SWITCH_OFF: 'late-scan' };
    const run = await ChaosRun.start({ engine: engineOf('postgres'), seed: 1, env, say: () => undefined });
    const found = await run.play([], WITHOUT_FAULTS_MS);
    expect(found).toEqual(expect.arrayContaining([expect.stringMatching(/acknowledged writes are lost/)]));
  }, AROUND_MS);
});
