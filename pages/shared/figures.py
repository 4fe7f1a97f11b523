"""A design in figures: cards, the report's figures beside the parent's, the table of layers."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import streamlit as st

from pages.shared import style, text
from training import catalogue, cost, results, toggles
from training.describe import Description, describe
from training.spec import RunSpec

CSS = """
.figures {display: grid; grid-template-columns: repeat(auto-fit, minmax(8.4rem, 1fr)); gap: .6rem; margin-bottom: .4rem;}
.figures > div {border: 1px solid color-mix(in srgb, currentColor 16%, transparent); border-radius: .5rem; padding: .55rem .75rem; position: relative;}
.figures .help {display: none; position: absolute; z-index: 9; top: calc(100% - .3rem); left: -1px; right: -1px;
    padding: .4rem .6rem; border-radius: .4rem; font-size: .8rem; line-height: 1.3; background: Canvas; color: CanvasText;
    border: 1px solid color-mix(in srgb, currentColor 30%, transparent);}
.figures > div:hover .help, .figures > div:focus .help {display: block;}
.figures .name {font-size: .82rem; opacity: .75;}
.figures .value {font-size: 1.55rem; font-weight: 600; line-height: 1.25; white-space: nowrap;}
.figures .note {font-size: .8rem; opacity: .75; min-height: 1.2em;}
.layers {overflow-x: auto;}
.layers table {border-collapse: collapse; font-size: .88rem; width: 100%; font-variant-numeric: tabular-nums;}
.layers th, .layers td {border: 0 !important; padding: .22rem .6rem !important; text-align: right; white-space: nowrap;}
.layers th {opacity: .7; font-weight: 600;}
.layers tr {border-bottom: 1px solid color-mix(in srgb, currentColor 12%, transparent) !important;}
.layers td:nth-child(2), .layers td:nth-child(3), .layers th:nth-child(2), .layers th:nth-child(3) {text-align: left;}
.layers i {display: inline-block; width: .6rem; height: .6rem; border-radius: 2px; margin-right: .5rem;}
.layers tr.sum td {font-weight: 600;}
@media (max-width: 640px) {.layers td:nth-child(3), .layers th:nth-child(3) {display: none;}}
"""


@dataclass(frozen=True)
class Card:
    name: str
    value: str
    note: str = ""
    help: str = ""


def show(cards: list[Card]) -> None:
    """Figures in a row that wraps on narrow screens; what one means is shown under the mouse, a finger or the keyboard."""
    parts = (
        f'<div{" tabindex=0" if card.help else ""}><div class="name">{escape(card.name)}</div>'
        f'<div class="value">{escape(card.value)}</div><div class="note">{escape(card.note)}</div>'
        + (f'<div class="help">{escape(card.help)}</div>' if card.help else "")
        + "</div>"
        for card in cards
    )
    st.html(f'<div class="figures">{"".join(parts)}</div>')


def of(spec: RunSpec, base: RunSpec | None, name: str) -> list[Card]:
    """Parameters, operations, memory and time of a design, each against `base` (called `name`)."""
    here, time = describe(spec.network), cost.estimate(spec)
    there = describe(base.network) if base else None

    def against(new: float, old: float | None) -> str:
        return f"{text.change(new, old)} {'as' if new == old else 'against'} {name}" if old is not None else ""

    memory, batch = here.activation_bytes * spec.fit.batch_size, spec.fit.batch_size
    return [
        Card("Parameters", text.count(here.params), against(here.params, there.params if there else None),
             f"{here.params:,} variables, {here.kernel_weights:,} of them kernel weights"),
        Card("Multiply-adds a picture", text.count(here.macs), against(here.macs, there.macs if there else None),
             f"{here.macs:,} in one forward pass; training costs about three times as many"),
        Card("Memory of a batch", text.size(memory),
             against(memory, there.activation_bytes * base.fit.batch_size if base and there else None),
             f"All layer outputs of {batch} pictures in float32, which training keeps"),
        Card("Time an epoch here", f"≈ {text.duration(time.epoch_seconds)}",
             against(time.epoch_seconds, cost.estimate(base).epoch_seconds if base else None),
             f"{time.steps_per_epoch} steps on {cost.PICTURES:,} pictures of 32x32: {time.basis}"),
    ]  # fmt: skip


def step(entry: catalogue.Variant) -> str:
    """The toggle by which an entry differs from its parent, in words; nothing for the first one."""
    if not entry.parent:
        return ""
    parent = catalogue.variant(entry.parent).spec
    changed = [
        f"{toggle.label.lower()} {toggle.to_text(toggle.read(entry.spec))}"
        for toggle in toggles.TOGGLES
        if toggle.read(entry.spec) != toggle.read(parent)
    ]
    if entry.toggle == "network":
        changed = ["other layers (outlined)", *changed]
    if entry.toggle == "recipe":
        changed = ["the same network, another recipe", *changed]
    return f"One step from **{entry.parent}**: {', '.join(changed)}."


def ours(entry: catalogue.Variant) -> str:
    """The test accuracy of the models of this entry that are stored here."""
    row = results.row(entry.name)
    if not row.accuracy:
        return ""
    rest = row.without_near_duplicates
    without = f"; {rest.mean:.4f} without the test pictures that resemble a training picture" if rest else ""
    return f"This program: **{row.accuracy}** on {row.data}{without}."


def report(entry: catalogue.Variant) -> str:
    """What the report says of an entry, against its nearest ancestor that has figures."""
    here = entry.report
    if here.accuracy is None:
        return "The report gives no figures for this one."
    told = f"The report: test accuracy **{here.accuracy:.4f}**, loss {here.loss:.4f} after {here.epochs} epochs"
    parent = entry.parent and catalogue.variant(entry.parent)
    while parent and parent.report.accuracy is None:
        parent = parent.parent and catalogue.variant(parent.parent)
    if parent and parent.report.accuracy is not None:
        told += f"; **{text.signed(100 * (here.accuracy - parent.report.accuracy))} points** against {parent.name} ({parent.report.accuracy:.4f})"
    return f"{told}{'; ' + here.remarks if here.remarks else ''}."


def layer_table(description: Description) -> str:
    """Every layer with its output, parameters and operations, as HTML."""
    rows = []
    for number, layer in enumerate(description.layers, 1):
        rows.append(
            f'<tr><td>{number}</td><td><i style="background:{style.LAYER[layer.kind]}"></i>{layer.title}</td>'
            f"<td>{layer.name}</td><td>{'×'.join(f'{size:,}' for size in layer.output_shape)}</td>"
            f"<td>{_number(layer.params)}</td><td>{_number(layer.macs)}</td><td>{text.size(layer.activation_bytes)}</td></tr>"
        )
    total = (
        f'<tr class="sum"><td></td><td>Sum</td><td></td><td></td><td>{description.params:,}</td>'
        f"<td>{description.macs:,}</td><td>{text.size(description.activation_bytes)}</td></tr>"
    )
    head = "".join(
        f"<th>{name}</th>" for name in ("", "Layer", "Name", "Output", "Parameters", "Multiply-adds", "Output size")
    )
    return (
        f'<div class="layers"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}{total}</tbody></table></div>'
    )


def _number(value: int) -> str:
    return f"{value:,}" if value else "–"


def copy_link() -> None:
    """A button that puts the page's address into the clipboard."""
    st.html(_COPY, width="content", unsafe_allow_javascript=True)


# The address is complete, so the browser alone can copy it.  Without HTTPS, browsers offer no
# clipboard object but on localhost: then the old way, a selected text field.
_COPY = """
<style>.copy-link {font: inherit; color: inherit; background: none; cursor: pointer; padding: .25rem .75rem;
min-height: 2.4rem; font-size: .875rem;  border-radius: .5rem; border: 1px solid color-mix(in srgb, currentColor 20%, transparent);}
.copy-link:hover, .copy-link:focus-visible {border-color: #2E86C1; color: #2E86C1;}</style>
<button type="button" class="copy-link" id="copy-link">Copy link</button>
<script>
(() => {
  const button = document.getElementById("copy-link");
  button?.addEventListener("click", async () => {
    const address = window.location.href;
    try { await navigator.clipboard.writeText(address); }
    catch {
      const field = document.createElement("textarea");
      field.value = address; document.body.append(field); field.select();
      document.execCommand("copy"); field.remove();
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy link"; }, 1600);
  });
})();
</script>
"""
