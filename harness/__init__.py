"""The engine: vocabulary, plugins, plan, graph, store, stages, schedule, data, models, tracking, command line."""
