import { testProtections } from './protections.ts';

testProtections('mariadb');
