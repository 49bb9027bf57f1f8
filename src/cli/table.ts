import { printable, type Tone, toned } from "./terminal.ts";

export interface Column {
  readonly title: string;
  /** Numbers are read from the right. */
  readonly align: "left" | "right";
}

export interface Cell {
  readonly text: string;
  readonly tone: Tone;
}

const SEPARATOR = "  ";

/** A table for people. It can be written in batches: the widths of a batch hold for the next ones, which only ever widen them. */
export class Table {
  readonly #columns: readonly Column[];
  readonly #colour: boolean;
  readonly #widths: number[];
  #begun = false;

  constructor(columns: readonly Column[], colour: boolean) {
    this.#columns = columns;
    this.#colour = colour;
    this.#widths = columns.map(({ title }) => title.length);
  }

  /** Lines of the rows, with the heading before the first ones. */
  lines(rows: readonly (readonly (string | Cell)[])[]): string {
    const cells = rows.map((row) => row.map(asCell));
    for (const row of cells) {
      for (const [at, { text }] of row.entries()) this.#widths[at] = Math.max(this.#widths[at] ?? 0, Bun.stringWidth(text));
    }
    const heading = this.#begun ? "" : this.#line(this.#columns.map(({ title }) => ({ text: title, tone: "strong" })));
    this.#begun = true;
    return heading + cells.map((row) => this.#line(row)).join("");
  }

  #line(row: readonly Cell[]): string {
    const texts = row.map(({ text, tone }, at) => {
      const padding = " ".repeat(Math.max(0, (this.#widths[at] ?? 0) - Bun.stringWidth(text)));
      const shown = toned(text, tone, this.#colour);
      if (this.#columns[at]?.align === "right") return padding + shown;
      return at === row.length - 1 ? shown : shown + padding;
    });
    return `${texts.join(SEPARATOR).trimEnd()}\n`;
  }
}

/** Names and values, the values aligned. */
export function fieldLines(fields: readonly (readonly [name: string, value: string | Cell])[], colour: boolean): string {
  const width = Math.max(0, ...fields.map(([name]) => name.length));
  return fields
    .map(([name, value]) => {
      const { text, tone } = asCell(value);
      return `${toned(name.padEnd(width), "dim", colour)}${SEPARATOR}${toned(text, tone, colour)}`.trimEnd();
    })
    .map((line) => `${line}\n`)
    .join("");
}

function asCell(value: string | Cell): Cell {
  return typeof value === "string" ? { text: printable(value), tone: "plain" } : { text: printable(value.text), tone: value.tone };
}
