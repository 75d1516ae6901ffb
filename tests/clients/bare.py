"""An order from nats-py alone: `python bare.py nats://127.0.0.1:4222 default o-1` starts, approves and follows it."""
import asyncio
import sys
import nats

async def main(url: str, app: str, run: str) -> None:
    nc = await nats.connect(url)
    done = await nc.subscribe(f"wf.{app}.done.order.{run}")
    await nc.request(f"wf.{app}.run.order.{run}.start", b'{"args": ["%s"]}' % run.encode(), 5)
    await nc.request(f"wf.{app}.run.order.{run}.hook.approval", b'{"payload": {"ok": true, "reviewer": "ada"}}', 5)
    print((await done.next_msg(20)).data.decode())
    print((await nc.request(f"wf.{app}.ask.order.{run}.status", timeout=5)).data.decode())
    await nc.close()
asyncio.run(main(*sys.argv[1:]))
