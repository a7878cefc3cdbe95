// Panels of one dashboard, drawn by Grafana's own components from what Prometheus answered.
// `panels.json` lies beside the page; it is written by benchmarks/stack/look.py.
import { createElement as h } from 'react';
import { createRoot } from 'react-dom/client';
import {
  FieldColorModeId, FieldType, createTheme, dateTime, getDisplayProcessor, toDataFrame,
} from '@grafana/data';
import { BigValue, GlobalStyles, InteractiveTable, PanelChrome, ThemeContext, TimeSeries } from '@grafana/ui';

const theme = createTheme({ colors: { mode: 'dark' } });
const COLUMN = 78;
const ROW = 34;
const GAP = 8;

function dressed(frame, config, at) {
  for (const field of frame.fields) {
    field.config = field.type === FieldType.time ? {} : { ...config, ...field.config };
    field.state = { seriesIndex: at };
    field.display = getDisplayProcessor({ field, theme });
  }
  return frame;
}

function plain(panel) {
  return {
    unit: panel.unit, min: panel.least ?? undefined, max: panel.most ?? undefined,
    mappings: panel.mappings, thresholds: panel.thresholds,
  };
}

function Lines({ panel, width, height, range }) {
  const frames = panel.series.map((one, at) => dressed(
    toDataFrame({ fields: [
      { name: 'Time', type: FieldType.time, values: one.times },
      { name: one.name, type: FieldType.number, values: one.values, config: {
        displayName: one.name,
        color: { mode: FieldColorModeId.PaletteClassic },
        custom: {
          drawStyle: 'line', lineWidth: one.dashed ? 1 : 2, fillOpacity: 0, showPoints: 'auto',
          lineStyle: one.dashed ? { fill: 'dash', dash: [6, 6] } : { fill: 'solid' },
          axisPlacement: 'auto', axisSoftMax: panel.soft, thresholdsStyle: panel.style, scaleDistribution: { type: 'linear' },
        },
      } },
    ] }), plain(panel), at));
  return h(TimeSeries, {
    frames, width, height, timeRange: range, timeZone: 'utc', structureRev: 1,
    legend: { showLegend: true, displayMode: 'list', placement: 'bottom', calcs: [] },
  });
}

function Figures({ panel, width, height }) {
  const each = Math.max(70, width / panel.series.length);
  return h('div', { style: { display: 'flex' } }, panel.series.map((one) => {
    const field = { name: one.name, type: FieldType.number, config: {
      ...plain(panel), color: { mode: FieldColorModeId.Thresholds } }, values: one.values };
    const shown = getDisplayProcessor({ field, theme })(one.values.at(-1));
    return h(BigValue, {
      key: one.name, value: { ...shown, title: one.name }, width: each, height,
      theme, text: { titleSize: 14, valueSize: 28 }, colorMode: 'value', graphMode: 'none', justifyMode: 'auto', textMode: 'value_and_name',
    });
  }));
}

// Grafana draws tables with a component that is not published; this one is.
function Rows({ panel }) {
  const [first] = panel.table;
  const data = first.values.map((_, at) => Object.fromEntries(
    [['id', String(at)], ...panel.table.map(({ name, values }) => [name, shown(values[at])])]));
  const columns = panel.table.map(({ name }) => ({ id: name, header: name }));
  return h(InteractiveTable, { columns, data, getRowId: ({ id }) => id });
}

function shown(value) {
  return typeof value === 'number' ? value.toFixed(4) : value ?? '';
}

const KINDS = { lines: Lines, figure: Figures, table: Rows };

function Panel({ panel, range }) {
  const { x, y, w, h: tall } = panel.place;
  const width = w * COLUMN - GAP;
  const height = tall * ROW - GAP;
  return h('div', { style: { position: 'absolute', left: x * COLUMN, top: y * ROW } },
    panel.kind === 'row'
      ? h('h4', { style: { margin: 6 } }, panel.title)
      : h(PanelChrome, { title: panel.title, description: panel.description, width, height },
        (inner, innerHeight) => (panel.series?.length || panel.table
          ? h(KINDS[panel.kind], { panel, width: inner, height: innerHeight, range })
          : h('center', null, 'no data yet'))));
}

const board = await (await fetch('panels.json')).json();
const range = { from: dateTime(board.from), to: dateTime(board.to),
  raw: { from: dateTime(board.from), to: dateTime(board.to) } };
const bottom = Math.max(...board.panels.map(({ place }) => place.y + place.h)) * ROW;
createRoot(document.getElementById('root')).render(
  h(ThemeContext.Provider, { value: theme },
    h(GlobalStyles),
    h('div', { style: { position: 'relative', width: 24 * COLUMN, height: bottom } },
      board.panels.map((panel, at) => h(Panel, { key: at, panel, range })))));
