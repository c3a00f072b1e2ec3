export const RUN_FOLDER: string;
export function runFolder(): string;
export function registerProcess(folder: string, pid: number, signal: NodeJS.Signals): void;
export function forgetProcess(folder: string, pid: number): void;
export function signalGroup(pid: number, signal: NodeJS.Signals): boolean;
export function endRun(folder: string): Promise<void>;
