// All commands. Each function adds its command to the parser and sets Session::action when it is chosen.
#pragma once

namespace CLI {
class App;
}

namespace coffer::command {

class Session;

void AddStatus(CLI::App& app, Session& session);
void AddNodes(CLI::App& app, Session& session);
void AddWhere(CLI::App& app, Session& session);
void AddDoctor(CLI::App& app, Session& session);
void AddExplain(CLI::App& app, Session& session);
void AddWait(CLI::App& app, Session& session);
void AddPut(CLI::App& app, Session& session);
void AddGet(CLI::App& app, Session& session);
void AddHas(CLI::App& app, Session& session);
void AddRemove(CLI::App& app, Session& session);
void AddChain(CLI::App& app, Session& session);
void AddZone(CLI::App& app, Session& session);
void AddBench(CLI::App& app, Session& session);
void AddPlan(CLI::App& app, Session& session);
void AddApply(CLI::App& app, Session& session);
void AddLayout(CLI::App& app, Session& session);
void AddDrain(CLI::App& app, Session& session);
void AddForget(CLI::App& app, Session& session);
void AddResync(CLI::App& app, Session& session);
void AddScrub(CLI::App& app, Session& session);
void AddCache(CLI::App& app, Session& session);
void AddJoin(CLI::App& app, Session& session);
void AddJoinToken(CLI::App& app, Session& session);
void AddCerts(CLI::App& app, Session& session);
void AddCompletion(CLI::App& app, Session& session);

}  // namespace coffer::command
