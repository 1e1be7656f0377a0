coffer_test(planner_test
            SOURCES ${CMAKE_CURRENT_LIST_DIR}/planner_test.cc ${CMAKE_CURRENT_LIST_DIR}/planner_groups_test.cc
                    ${CMAKE_CURRENT_LIST_DIR}/planner_members_test.cc ${CMAKE_CURRENT_LIST_DIR}/planner_operator_test.cc
            LIBS coffer_cluster LABELS quick)
