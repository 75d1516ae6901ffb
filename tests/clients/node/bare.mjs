// An order from Node with the official NATS client alone: `npm install`, then
// `node bare.mjs nats://127.0.0.1:4222 default o-1` starts, approves and follows it.
import { connect } from "@nats-io/transport-node";

const [servers, app, run] = process.argv.slice(2);
const nc = await connect({ servers });
const done = nc.subscribe(`wf.${app}.done.order.${run}`);

// A request and not a publish, so that the answer says whether the message is stored.
const send = async (verb, body) => {
  const ack = (await nc.request(`wf.${app}.run.order.${run}.${verb}`, JSON.stringify(body), { timeout: 5000 })).json();
  if (ack.error) throw new Error(ack.error.description);
};
await send("start", { args: [run] });
await send("hook.approval", { payload: { ok: true, reviewer: "ada" } });

for await (const notice of done) {
  console.log(notice.string());
  break;
}
console.log((await nc.request(`wf.${app}.ask.order.${run}.status`, "", { timeout: 5000 })).string());
await nc.close();
