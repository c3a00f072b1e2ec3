import { testServers } from './servers.ts';

testServers('postgres');
