import { bigint, customType } from 'drizzle-orm/pg-core'

/** A column of bytes: a plain Uint8Array of its own on both drivers. */
export const bytes = customType<{ data: Uint8Array; driverData: Uint8Array }>({
  dataType: () => 'bytea',
  toDriver: (value) => Buffer.from(value.buffer, value.byteOffset, value.length),
  fromDriver: (value) => new Uint8Array(value),
})

/** A column of whole seconds since 1970. */
export const unixSeconds = (name: string) => bigint(name, { mode: 'number' })
