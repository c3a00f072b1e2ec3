/** Where events may be sent: over TLS, or within this machine; never to addresses that only a server's own network can reach on its behalf. */
import { lookup as resolveHost, type LookupAddress, type LookupOptions } from 'node:dns';
import { BlockList, isIP } from 'node:net';

/** Unspecified, link-local (cloud metadata among them) and multicast addresses, in every spelling. */
const FORBIDDEN = new BlockList();
FORBIDDEN.addSubnet('0.0.0.0', 8, 'ipv4');
FORBIDDEN.addSubnet('169.254.0.0', 16, 'ipv4');
FORBIDDEN.addSubnet('224.0.0.0', 3, 'ipv4');
FORBIDDEN.addAddress('::', 'ipv6');
FORBIDDEN.addSubnet('fe80::', 10, 'ipv6');
FORBIDDEN.addSubnet('ff00::', 8, 'ipv6');
FORBIDDEN.addAddress('fd00:ec2::254', 'ipv6');
// The same through address translation.
FORBIDDEN.addSubnet('64:ff9b::a9fe:0', 112, 'ipv6');
FORBIDDEN.addSubnet('64:ff9b::', 104, 'ipv6');

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

const within = (list: BlockList, address: string): boolean => list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');

/** Why nothing may be sent to an address; null where it may. `plain`: without TLS, which stays within this machine unless that is allowed. */
function refusal(address: string, plain: boolean, insecure: boolean): string | null {
  if (within(FORBIDDEN, address)) return 'the address is link-local, multicast or no address of a host';
  return plain && !insecure && !within(LOOPBACK, address) ? 'http leaves this machine' : null;
}

/** A sentence about what is wrong with a URL, with what to write after `; `; null where nothing is. What its name resolves to is checked at the socket. */
export function webhookUrlProblem(text: string, insecure: boolean): string | null {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:')) return 'This is not the URL of a webhook; Write https://host/path.';
  if (url.username !== '' || url.password !== '') return 'The URL holds a user or a password; Signatures tell the receiver who sends: remove them.';
  const host = bareHost(url);
  const plain = url.protocol === 'http:';
  if (isIP(host) === 0) return plain && !insecure && host !== 'localhost' ? 'Events would leave this machine unencrypted; Write https://, or insecure: true.' : null;
  const refused = refusal(host, plain, insecure);
  if (refused === null) return null;
  return plain && !within(FORBIDDEN, host) ? 'Events would leave this machine unencrypted; Write https://, or insecure: true.' : 'No webhook can be at this address; Write the name of a host.';
}

/** The host without the brackets of an IPv6 address. */
function bareHost(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '');
}

type Callback = (error: NodeJS.ErrnoException | null, address: string | LookupAddress[], family?: number) => void;

/** A `lookup` of a socket: the addresses that are checked are those that are used. Fails with the code `EREFUSEDADDRESS`. */
export function guardedLookup(plain: boolean, insecure: boolean) {
  return (hostname: string, options: LookupOptions, callback: Callback): void => {
    resolveHost(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, []);
      const refused = addresses.map(({ address }) => refusal(address, plain, insecure)).find((each) => each !== null);
      if (refused !== undefined) return callback(Object.assign(new Error(refused), { code: 'EREFUSEDADDRESS' }), []);
      const first = addresses[0];
      if (options.all === true || first === undefined) return callback(null, addresses);
      return callback(null, first.address, first.family);
    });
  };
}
