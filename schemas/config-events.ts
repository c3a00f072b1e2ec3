/** Who is told of events, as it stands in the file. */
import { z } from 'zod';
import { EVENT_TYPES } from './event-types.ts';

const webhookSchema = z.strictObject({
  url: z.string().min(1).max(2_000).meta({ description: 'Receives each event as a CloudEvent by POST; https, or http on this machine.' }),
  secret: z.string().min(1).meta({ description: 'A reference to the key of signatures: "${NAME}". Its value is whsec_ and base64, or any text of 24 bytes or more.' }),
  types: z.array(z.enum(EVENT_TYPES)).min(1).optional().meta({ description: 'Events to deliver. Default: all.' }),
  insecure: z.boolean().optional().meta({ description: 'Allows http to another machine. Default false.' }),
});

export const eventsSchema = z.strictObject({
  webhooks: z.array(webhookSchema).max(100).optional().meta({ description: 'Receivers of events, each told of everything, in order for each stream.' }),
});
