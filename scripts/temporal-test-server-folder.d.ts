export const TEST_SERVER_VERSION: string;
export function testServerFolder(): string;
export function hasTestServer(folder: string): boolean;
