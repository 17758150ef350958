import { AsyncLocalStorage } from 'node:async_hooks'
import {
  type Attributes,
  type Context,
  type ContextManager,
  context,
  ROOT_CONTEXT,
  type Span,
  type SpanOptions,
  type Tracer,
  trace,
} from '@opentelemetry/api'

/** A span that has ended. */
export interface Ended {
  readonly name: string
  readonly parent: string | null
  readonly attributes: Attributes
  readonly failed: boolean
}

class InMemorySpan {
  readonly id: string
  readonly #told: Ended[]
  readonly #name: string
  readonly #parent: string | null
  readonly #attributes: Attributes
  #failed = false
  constructor(told: Ended[], id: string, name: string, parent: string | null, attributes: Attributes) {
    this.#told = told
    this.id = id
    this.#name = name
    this.#parent = parent
    this.#attributes = { ...attributes }
  }
  get name() {
    return this.#name
  }
  spanContext() {
    return { traceId: '1'.repeat(32), spanId: this.id, traceFlags: 1 }
  }
  setAttributes(more: Attributes) {
    Object.assign(this.#attributes, more)
    return this
  }
  setStatus({ code }: { code: number }) {
    this.#failed = code === 2
    return this
  }
  end() {
    this.#told.push({
      name: this.#name,
      parent: this.#parent,
      attributes: this.#attributes,
      failed: this.#failed,
    })
  }
}

class Manager implements ContextManager {
  readonly #store = new AsyncLocalStorage<Context>()
  active() {
    return this.#store.getStore() ?? ROOT_CONTEXT
  }
  with<A extends unknown[], F extends (...args: A) => ReturnType<F>>(
    given: Context,
    fn: F,
    self?: ThisParameterType<F>,
    ...args: A
  ): ReturnType<F> {
    return this.#store.run(given, () => fn.call(self as never, ...args))
  }
  bind<T>(_: Context, target: T) {
    return target
  }
  enable() {
    return this
  }
  disable() {
    return this
  }
}

/** What an SDK of OpenTelemetry does, as far as a test needs it: all that ended, in its order. */
export function inMemoryTracer(): { readonly ended: readonly Ended[]; stop(): void } {
  const ended: Ended[] = []
  let count = 0
  const start = (name: string, options: SpanOptions = {}, given: Context = context.active()) => {
    const parent = options.root === true ? undefined : (trace.getSpan(given) as InMemorySpan | undefined)
    const id = (++count).toString(16).padStart(16, '0')
    return new InMemorySpan(ended, id, name, parent?.name ?? null, options.attributes ?? {}) as unknown as Span
  }
  const tracer = {
    startSpan: start,
    startActiveSpan(name: string, options: SpanOptions, work: (span: Span) => unknown) {
      const span = start(name, options)
      return context.with(trace.setSpan(context.active(), span), () => work(span))
    },
  } as unknown as Tracer
  context.setGlobalContextManager(new Manager())
  trace.setGlobalTracerProvider({ getTracer: () => tracer })
  return {
    ended,
    stop() {
      trace.disable()
      context.disable()
    },
  }
}
