"""The engine: vocabulary, plugins, plan, graph, store, stages, schedule, data, models, tracking and the command line."""
