// Which model a run gets: the route of its task, else the configured one. Keys are held in memory only and looked up by
// endpoint, so that a journal can be shown to anyone.
import type { Clock } from "../base/clock.ts"
import { AppError } from "../base/error.ts"
import type { Model, Price } from "../kernel/model.ts"
import { openAiCompatible } from "../models/openai-compatible.ts"
import { recordedScripts } from "../models/recorded.ts"
import { scripted } from "../models/scripted.ts"
import type { Route } from "../protocol/task.ts"
import type { Config } from "./config.ts"

type Endpoint = Extract<Route, { kind: "endpoint" }>

/** Of a model that is in no catalogue. */
const unknownModel = { contextTokens: 128_000, maxOutputTokens: 16_384 }

export class Models {
  readonly #config: Config
  readonly #clock: Clock
  readonly #keys = new Map<string, string>()
  /** One value per endpoint, because it learns what the endpoint can do. */
  readonly #models = new Map<string, Model>()

  constructor(config: Config, clock: Clock) {
    this.#config = config
    this.#clock = clock
    if (config.route?.kind === "endpoint" && config.apiKey !== null) this.#keys.set(config.route.baseUrl, config.apiKey)
  }

  keepKey(route: Route, apiKey: string): void {
    if (route.kind !== "endpoint" || this.#keys.get(route.baseUrl) === apiKey) return
    this.#keys.set(route.baseUrl, apiKey)
    this.#models.clear()
  }

  /** The name of the configured model, null if there is none. */
  configured(): string | null {
    const { route } = this.#config
    return route?.kind === "endpoint" ? route.model : null
  }

  /** Rejects with `model-missing` if nothing is configured. */
  async get(wanted: Route | undefined): Promise<Model> {
    const route = wanted ?? this.#config.route
    if (!route) throw new AppError("model-missing")
    const key = JSON.stringify(route)
    const known = this.#models.get(key)
    if (known) return known
    const made = route.kind === "endpoint" ? this.#endpoint(route) : this.#recorded(route.name)
    this.#models.set(key, made)
    return made
  }

  #endpoint(route: Endpoint): Model {
    const price: Price | null = route.price && { input: route.price.input, cached: route.price.input, output: route.price.output }
    const { baseUrl, model } = route
    return openAiCompatible({ baseUrl, model, price, apiKey: this.#keys.get(baseUrl) ?? "", clock: this.#clock, ...unknownModel })
  }

  #recorded(name: string): Model {
    const script = recordedScripts[name]
    if (!script) throw new AppError("model-missing")
    return scripted({ script, clock: this.#clock, id: `recorded/${name}` })
  }
}
