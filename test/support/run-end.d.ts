export default function runEnd(): Promise<void>;
