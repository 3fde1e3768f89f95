// `chela status`: what runs, how commands are confined, which model is configured. Starts nothing.
import { exitCode } from "../../protocol/exit.ts"
import { defineCommand } from "../command.ts"
import { duration } from "../format.ts"
import { routeOf } from "../route.ts"

export const status = defineCommand({
  name: "status",
  args: { json: { type: "boolean" } },
  async run(context) {
    const { t, print, home } = context
    const client = await context.find()
    const host = client && (await client.status())
    if (context.json) {
      print(JSON.stringify({ home, host }))
      return exitCode.done
    }
    const { route } = routeOf(context.env)
    const model = host?.model ?? (route?.kind === "endpoint" ? route.model : null)
    print(t("status-home", { home }))
    print(host ? t("status-host", { pid: host.pid, version: host.version, up: duration(Date.now() - host.startedAt) }) : t("status-no-host"))
    if (host) print(t("status-work", { running: host.running, parked: host.parked, questions: host.questions }))
    if (host?.sandbox) {
      print(t(`sandbox-tier-${host.sandbox.tier}`, { staging: host.sandbox.staging }))
      for (const { code, params } of host.sandbox.reasons) print(`  ${t(code, params)}`)
    }
    print(model === null ? t("model-missing") : t("status-model", { model }))
    return exitCode.done
  },
})
