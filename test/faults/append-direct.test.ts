/** New rows of an append go into the target in the extract itself: a crash, or an attempt that is overtaken, leaves them there once or not at all. */
import type { FaultPhase } from '../../pipeline/fault-point.ts';
import { describeWith } from '../support/describe-with.ts';
import { crashAt, holdAt, noFaults, untilHeld } from './fault-hook.ts';
import { OneStream, ROWS } from './one-stream.ts';

describeWith({ postgres: true }, 'an append straight into the target', () => {
  let stream: OneStream;
  let last = ROWS;

  beforeAll(async () => {
    stream = await OneStream.create({ product: 'postgres', mode: 'append' });
    await stream.sync();
  });
  afterEach(noFaults);

  const begin = async (name: string) => {
    stream.runId = name;
    await stream.insert(last + 1, last + 10);
    last += 10;
    return stream.nextStep((await stream.prepare()).generation);
  };
  const noStage = async () => expect(await stream.target.value(`SELECT count(*) FROM tidemark.batch WHERE run_id = '${stream.runId}' AND state <> 'loaded'`)).toBe('0');

  test.each(['P1', 'P6', 'P7'] as const satisfies readonly FaultPhase[])('a crash at %s', async (phase) => {
    const step = await begin(`crash-${phase}`);
    const crashes = crashAt(phase);
    await expect(stream.extract(step)).rejects.toThrow();
    expect(crashes()).toBe(1);
    const { batch, needsTransform } = await stream.extract(step);
    await noStage();
    expect({ needsTransform, ...(await stream.load(batch)) }).toMatchObject({ needsTransform: false, read: 10, written: 10 });
    await stream.sync();
    expect(await stream.faults(10)).toEqual([]);
  });

  test('an attempt that wakes up after another has taken its batch commits nothing', async () => {
    const step = await begin('overtaken');
    const held = holdAt('P6');
    const attempt = stream.extract(step);
    const late = attempt.then(() => 'committed', () => 'refused');
    await untilHeld(held, attempt);
    const { batch } = await stream.extract(step);
    held.goOn();
    expect(await late).toBe('refused');
    expect(await stream.load(batch)).toMatchObject({ read: 10, written: 10 });
    await stream.sync();
    expect(await stream.faults(10)).toEqual([]);
  });
});
