/**
 * Lets a fault fall in a worker under test at an exact place: loaded with `--import`, it installs the hook of pipeline/fault-point.ts.
 * The product itself reads no variable that could stop it. TIDEMARK_FAULT_FOLDER/armed.json holds one fault:
 *
 *     {"phase": "P7", "place": "loadBatch", "nth": 1, "action": "kill"}
 *
 * Whoever reaches the place first takes the file away (fired.json), so it falls once, whichever process that is and however often it is
 * started again. `kill`: SIGKILL. `stop`: SIGSTOP, until somebody sends SIGCONT. `hold`: waits for the file `go-on`. `clock`: the process's
 * clock jumps by `milliseconds`. P9, where Temporal has recorded an activity's end and its workflow has not yet seen it, is between Temporal's SDK and the workflow's thread.
 */
import { existsSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { isMainThread } from 'node:worker_threads';

const folder = process.env.TIDEMARK_FAULT_FOLDER ?? '';
const HOLD_LOOK_MS = 50;
const RealDate = Date;
let clockOffset = 0;
let seen = { text: '', times: 0 };

function armed() {
  try {
    return readFileSync(join(folder, 'armed.json'), 'utf8');
  } catch {
    return null;
  }
}

/** True for one caller only. */
function takes() {
  try {
    renameSync(join(folder, 'armed.json'), join(folder, 'fired.json'));
    return true;
  } catch {
    return false;
  }
}

async function reached(phase, place) {
  const text = armed();
  if (text === null) return;
  const fault = JSON.parse(text);
  if (fault.phase !== phase || (fault.place && place && fault.place !== place)) return;
  seen = { text, times: (seen.text === text ? seen.times : 0) + 1 };
  if (seen.times < (fault.nth ?? 1) || !takes()) return;
  writeSync(2, `fault: ${fault.action} at ${phase} ${place}\n`);
  await ACTIONS[fault.action](fault);
}

const ACTIONS = {
  // Nothing after this place runs: the signal arrives before anything else may.
  kill: () => process.kill(process.pid, 'SIGKILL') && new Promise(() => undefined),
  stop: () => void process.kill(process.pid, 'SIGSTOP'),
  hold: async () => {
    while (!existsSync(join(folder, 'go-on'))) await new Promise((resolve) => setTimeout(resolve, HOLD_LOOK_MS));
  },
  clock: ({ milliseconds }) => void (clockOffset += milliseconds),
};

function moveClock() {
  globalThis.Date = class extends RealDate {
    constructor(...parts) {
      super(...(parts.length === 0 ? [RealDate.now() + clockOffset] : parts));
    }
    static now() {
      return RealDate.now() + clockOffset;
    }
  };
}

function installBeforeWorkflows() {
  const { VMWorkflowThreadProxy } = createRequire(import.meta.url)('@temporalio/worker/lib/workflow/threaded-vm.js');
  const activate = VMWorkflowThreadProxy.prototype.activate;
  if (typeof activate !== 'function') throw new Error('P9 has no place any more: @temporalio/worker has changed, and test/faults/install-fault.js has to follow');
  VMWorkflowThreadProxy.prototype.activate = async function (activation) {
    if (activation.jobs?.some((job) => job.resolveActivity)) await reached('P9', '');
    return activate.call(this, activation);
  };
}

if (isMainThread && folder !== '' && process.argv.includes('worker')) {
  moveClock();
  const { onFaultPoint } = await import('../../pipeline/fault-point.ts');
  onFaultPoint(reached);
  installBeforeWorkflows();
}
