export default function runStart(): Promise<void>;
