/** `node dry-run.ts SEED MINUTES` prints the schedule that a chaos run would play. */
import { describeFault, scheduleOf } from './schedule.ts';

for (const fault of scheduleOf(Number(process.argv[2]), Number(process.argv[3]))) console.log(describeFault(fault));
