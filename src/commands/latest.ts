/** Hands values to one reader; of those that come while the reader is busy only the newest is kept. */
export class Latest<T> implements AsyncIterable<T> {
  #value: { readonly item: T } | undefined;
  #ended = false;
  #wake = Promise.withResolvers<void>();

  put(item: T): void {
    this.#value = { item };
    this.#wake.resolve();
  }

  end(): void {
    this.#ended = true;
    this.#wake.resolve();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      await this.#wake.promise;
      this.#wake = Promise.withResolvers();
      const value = this.#value;
      this.#value = undefined;
      if (value !== undefined) yield value.item;
      if (this.#ended) return;
    }
  }
}
