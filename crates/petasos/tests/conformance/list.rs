//! The list of all cases, by section.

/// Hands the list to another macro, behind the arguments for it.
macro_rules! every_case {
    ($then:ident $arguments:tt) => {
        $then! {
            $arguments
            subscribing: [
                s01_get_opens_an_event_stream,
                s01_get_opens_an_event_stream_over_http2,
                s01_head_answers_the_same_headers_and_no_body,
                s01_head_leaves_the_connection_usable,
                s01_head_makes_no_presence,
                s02_query_needs_no_component,
                s02_query_unites_component_and_body,
                s02_query_with_a_body_over_the_limit_is_413,
                s02_query_with_another_media_type_is_415,
                s02_the_cursor_comes_from_field_then_component_then_body,
                s03_an_update_comes_once_however_many_matchers_hit,
                s03_any_topic_of_an_update_can_hit,
                s03_every_parameter_name_matches,
                s04_parameters_are_decoded_as_forms,
                s04_values_are_checked_after_decoding,
            ];
            parameters: [
                s05_no_matcher_is_refused,
                s05_other_names_in_the_match_namespace_are_refused,
                s06_forbidden_characters_in_matchers_are_refused,
                s06_invalid_utf8_in_matchers_is_refused,
                s06_malformed_patterns_are_refused_without_internals,
                s06_what_is_no_pattern_may_be_an_exact_value,
                s08_unknown_parameters_are_ignored,
            ];
            limits: [
                p12_a_413_of_a_3_mb_body_can_be_read_with_its_cors_fields,
                p12_a_body_of_a_mebibyte_is_taken_and_one_more_byte_is_413,
                p12_a_chunked_body_over_the_limit_is_413,
                p12_a_declared_gibibyte_is_refused_before_it_is_sent,
                p12_topics_and_fields_over_their_limits_are_413,
                p12_what_is_over_a_limit_is_not_published,
                p12_without_a_limit_any_body_is_taken,
                s07_a_matcher_over_its_length_is_refused,
                s07_a_target_over_its_length_is_refused,
                s07_a_thousand_matchers_are_taken_and_one_more_is_not,
                s07_streams_are_not_limited_by_default,
                s07_streams_of_one_address_are_limited,
                s07_streams_of_one_subject_are_limited,
                s07_streams_over_the_total_are_429_with_retry_after,
            ];
            streams: [
                s09_a_heartbeat_comes_over_http2,
                s09_a_heartbeat_comes_when_nothing_else_did,
                s09_a_heartbeat_of_zero_is_off,
                s09_events_put_the_heartbeat_off,
                s10_a_stream_is_never_cached_or_buffered,
                s10_a_stream_says_keep_alive_over_http1_only,
                s10_head_and_first_comment_come_at_once,
                s11_an_update_without_data_is_sent_as_an_empty_line,
                s11_data_arrives_as_published_with_its_breaks_as_lf,
                s11_data_injects_no_field,
                s11_fields_come_in_their_order_and_only_if_given,
                s12_all_subscribers_see_one_order,
                s13_a_stream_ends_at_a_random_part_of_write_timeout,
                s13_a_stream_ends_with_its_token,
                s13_a_stream_of_an_http1_client_that_closes_after_it_ends_cleanly,
                s13_a_write_timeout_of_zero_is_never,
                s13_events_before_the_end_are_whole,
            ];
            cors: [
                s14_a_preflight_covers_every_method_and_field,
                s14_a_preflight_of_an_unlisted_origin_allows_nothing,
                s14_a_stream_carries_its_fields,
                s14_any_origin_never_comes_with_credentials,
                s14_every_status_is_readable_for_a_listed_origin,
                s14_no_status_is_readable_for_an_unlisted_origin,
                s14_origins_are_compared_exactly,
            ];
            matching: [
                m01_exact_is_byte_for_byte,
                m02_a_pattern_selects_by_its_parts,
                m02_other_schemes_can_be_patterns,
                m02_relative_patterns_and_topics_meet_at_the_hub,
                m02_the_host_ignores_case_and_the_rest_does_not,
                m03_a_topic_that_is_no_url_matches_no_pattern,
                m04_a_pathological_pattern_costs_little,
                m05_the_wildcard_selects_everything,
                m06_a_plain_name_lies_beside_the_hub,
                m06_a_topic_published_elsewhere_keeps_its_relative_form,
                m06_subscription_events_are_matched_on_any_origin,
                m06_the_base_is_the_pinned_resource_identifier,
                m06_the_base_is_the_url_of_the_subscribers_request,
            ];
            publishing: [
                p01_a_charset_parameter_is_fine,
                p01_another_media_type_is_refused,
                p01_every_spelling_of_a_form_is_read,
                p01_unknown_fields_are_ignored,
                p02_the_answer_is_the_id_and_nothing_else,
                p03_a_topic_is_needed,
                p03_every_topic_is_published,
                p07_data_is_opaque_utf8,
                p08_private_is_a_matter_of_presence,
                p09_a_made_id_tells_nothing,
                p09_an_id_is_taken_as_it_is,
                p09_reserved_and_unclean_ids_are_refused,
                p10_a_type_is_delivered_and_checked,
                p11_retry_is_ascii_digits,
                p13_updates_without_a_token_are_taken_only_when_told_so,
            ];
            forbidden: [
                p04_topics_that_are_not_utf8_are_refused,
                p04_topics_with_forbidden_characters_are_refused,
                p05_a_pinned_resource_identifier_is_the_base,
                p05_the_own_origin_is_reserved_by_its_full_url,
                p05_the_reserved_namespace_is_refused_in_every_spelling,
                p05_what_only_looks_reserved_is_published,
                p06_the_wildcard_is_refused,
            ];
            challenges: [
                a01_publishing_needs_a_token,
                a01_subscribing_needs_a_token,
                a01_the_anonymous_read_public_updates_only,
                a04_the_challenge_leads_to_the_metadata,
                a04_without_a_token_the_challenge_has_no_error,
                a05_a_bad_token_is_401_also_where_none_is_needed,
                a06_a_malformed_field_is_400,
                a06_a_refusal_discloses_no_claims,
                a06_a_token_without_the_grant_is_403,
                a06_reason_codes_are_documented_words,
            ];
            credentials: [
                a02_a_field_makes_the_cookie_ignored,
                a02_a_token_is_never_read_from_the_url_or_the_body,
                a02_the_cookie_carries_a_token,
                a02_the_cookies_name_can_be_configured,
                a02_the_scheme_is_read_in_any_case,
                a03_a_cookie_publishes_from_a_listed_origin,
                a03_a_cookie_publishes_from_nowhere_else,
                a03_a_field_needs_no_origin,
                a03_the_origins_of_cors_are_not_those_of_publishing,
            ];
            tokens: [
                a07_a_token_is_three_parts_of_base64url,
                a07_the_type_is_an_access_tokens,
                a08_a_public_key_is_never_a_secret,
                a08_keys_never_come_from_the_token,
                a08_the_algorithm_is_the_keys_own,
                a08_the_key_id_is_a_hint,
                a08_unknown_critical_members_are_refused,
                a09_every_algorithm_is_verified,
                a10_keys_belong_to_one_issuer,
                a10_keys_belong_to_one_role,
                a10_the_issuer_is_one_that_is_configured,
                a11_the_audience_contains_the_hub,
                a11_the_audience_follows_the_host,
                a12_not_before_is_enforced_if_present,
                a12_the_expiry_is_required_and_enforced,
                c08_what_a_json_parser_may_skip_is_checked,
            ];
            details: [
                a13_details_of_other_types_are_ignored,
                a13_invalid_details_are_refused_for_publishers_too,
                a13_malformed_details_make_the_token_invalid,
                a13_well_formed_details_are_taken,
            ];
            grants: [
                a14_a_pattern_grants_what_it_matches,
                a14_every_topic_must_be_granted,
                a14_granted_topics_are_published,
                a14_private_updates_need_the_same_grant,
                a15_a_pattern_grants_reading,
                a15_a_private_update_needs_one_granted_topic_and_one_hit,
                a15_public_updates_reach_everyone_who_asks,
                a15_unknown_actions_grant_nothing,
                a16_a_replay_is_authorized_by_the_present_token,
            ];
            issuers: [
                a17_a_failing_fetch_keeps_the_old_keys,
                a17_a_role_without_keys_takes_no_token,
                a17_a_set_of_keys_has_no_shared_secrets_by_default,
                a17_an_unknown_key_id_makes_the_set_be_fetched_again,
                a17_keys_come_from_a_file,
                a17_keys_come_from_a_url,
                a17_unknown_key_ids_cannot_be_used_to_flood_the_issuer,
            ];
            history: [
                r01_a_cursor_replays_what_came_after_it,
                r01_a_replay_keeps_what_an_event_was,
                r01_any_id_can_be_a_cursor,
                r01_the_field_goes_before_the_parameter,
                r01_the_seam_has_no_gap_and_no_duplicate,
                r02_a_cursor_is_answered_only_if_one_was_sent,
                r02_a_known_id_is_found_however_far_back,
                r02_an_empty_cursor_is_answered_with_the_newest_id,
                r02_head_and_query_answer_the_same_cursor,
                r03_earliest_replays_everything,
                r04_a_discarded_cursor_answers_earliest_and_replays_what_is_kept,
                r04_an_unknown_cursor_answers_earliest_and_replays_all,
                r05_a_reused_id_means_its_earliest_update,
                r06_a_cursor_is_hub_wide,
                r07_history_outlives_the_hub_where_there_is_one,
            ];
            presence: [
                e01_a_refused_subscription_announces_nothing,
                e01_a_subscription_announces_its_start_and_its_end,
                e01_subscription_events_are_in_the_history,
                e01_subscription_events_are_private,
                e01_the_topic_encodes_each_variable_once,
                e01_the_topic_is_what_matchers_and_grants_see,
                e01_without_the_feature_nothing_is_announced,
                e02_the_data_says_what_the_subscription_is,
                e03_a_subscriber_is_one_connection,
                e03_equal_matchers_are_one_subscription,
                e04_the_payload_is_that_of_the_first_matching_detail,
                e04_the_wildcard_detail_gives_its_payload_to_all,
                e08_a_connection_that_dies_without_a_word_ends_its_subscriptions,
                e08_a_stream_that_the_hub_ends_ends_its_subscriptions,
            ];
            listing: [
                e05_a_single_subscription_has_a_path_of_its_own,
                e05_collections_list_what_is_active,
                e05_the_path_may_be_spelled_in_other_ways,
                e05_what_is_not_there_is_404_and_what_is_no_type_400,
                e05_without_the_feature_there_is_nothing,
                e06_the_path_must_be_granted,
                e07_a_head_of_the_list_has_no_body,
                e07_the_etag_follows_the_log,
                e07_the_link_leads_to_the_hub_and_its_newest_event,
                e07_the_list_is_where_its_cursor_says,
            ];
            discovery: [
                d01_a_hub_that_checks_no_tokens_has_no_metadata,
                d01_the_metadata_describes_the_resource,
                d01_the_metadata_follows_the_configuration,
                d02_a_name_that_is_none_is_refused,
                d02_a_pinned_resource_is_that_everywhere,
                d02_forwarded_fields_are_believed_from_trusted_proxies_only,
                d02_other_origins_get_421,
                d02_the_resource_follows_the_request,
            ];
            clients: [
                c01_a_draining_hub_refuses_connections_and_answers_nothing_else,
                c01_the_stream_is_the_only_answer_to_a_good_request,
                c01_what_a_draining_hub_acknowledges_is_stored,
                c03_large_events_are_whole_for_a_slow_reader,
                c03_no_event_spans_two_chunks_and_the_last_chunk_is_empty,
                c05_clients_without_fields_resume_by_parameter,
                c09_the_page_at_the_root_may_connect_to_itself,
            ];
            wire: [
                rfc9112_a_head_over_its_limit_is_refused,
                rfc9112_a_request_names_one_host,
                rfc9112_an_unfinished_body_is_cut_off,
                rfc9112_an_unfinished_head_is_cut_off,
                rfc9112_bare_cr_and_folding_are_refused,
                rfc9112_doubled_and_malformed_lengths_are_refused,
                rfc9112_length_and_chunks_together_close_the_connection,
                rfc9112_malformed_chunks_are_refused,
                rfc9112_methods_and_paths_that_are_none_are_refused,
                rfc9112_pipelined_publishes_keep_their_order,
                rfc9112_unknown_codings_are_refused,
                rfc9113_a_request_without_a_matcher_harms_no_other,
                rfc9113_many_streams_share_a_connection,
            ];
        }
    };
}

/// The same for clients of the 0.x generation on a hub that does not serve it (L02).
macro_rules! every_case_without_the_mode {
    ($then:ident $arguments:tt) => {
        $then! {
            $arguments
            old_refused: [
                l02_a_topic_parameter_is_refused_with_the_way_out,
                l03_an_old_token_is_refused_with_a_code_of_its_own,
                l04_an_old_cookie_is_no_token_and_the_answer_says_so,
                l05_a_token_in_the_url_is_no_token_and_the_answer_says_so,
                l06_old_cursors_are_ignored,
                l08_requests_of_old_clients_are_counted_by_kind,
            ];
        }
    };
}

/// The same for clients of the 0.x generation on a hub that serves it (section L).
macro_rules! every_case_with_the_mode {
    ($then:ident $arguments:tt) => {
        $then! {
            $arguments
            old_topics: [
                l01_a_malformed_template_matches_by_equality_only,
                l01_a_topic_matches_by_equality,
                l01_a_topic_matches_by_template_on_all_levels,
                l01_a_topic_of_a_star_matches_everything,
                l01_selectors_are_checked_and_limited_as_matchers_are,
                l01_selectors_stand_beside_matchers_and_an_update_comes_once,
                l01_the_history_is_selected_as_the_present_is,
                l01_topics_may_stand_in_the_body_of_a_query,
            ];
            old_tokens: [
                l03_a_claim_grants_publishing_on_its_selectors,
                l03_a_claim_grants_reading_on_its_selectors,
                l03_a_stream_ends_with_its_token_if_that_ends,
                l03_a_token_of_the_1_0_generation_stands_under_its_own_rules,
                l03_signature_times_and_role_are_checked,
                l03_without_subscribe_a_token_reads_public_updates,
                l04_the_old_cookie_is_read_where_the_new_one_is_absent,
                l04_the_old_cookie_publishes_from_listed_origins_only,
                l05_a_token_may_stand_in_the_url_if_it_is_an_old_one,
                l05_a_token_in_the_url_is_not_repeated_by_any_answer,
                l05_a_token_in_the_url_that_cannot_be_used_is_never_passed_over,
                l08_a_key_without_an_issuer_verifies_old_tokens_only,
            ];
            old_cursors: [
                c05_l06_clients_without_fields_resume_by_either_parameter,
                l06_a_cursor_of_the_present_goes_before_one_of_the_past,
                l06_the_answer_carries_both_fields_and_cors_exposes_them,
                l06_the_head_of_a_stream_says_the_same,
            ];
            old_presence: [
                c07_every_old_subscription_has_a_payload,
                l07_a_path_of_a_topic_lists_its_subscriptions,
                l07_a_subscription_by_topic_is_announced_as_before,
                l07_each_kind_of_event_is_watched_in_its_own_way,
                l07_the_list_is_told_in_the_form_of_the_token,
                l07_the_path_must_be_granted,
            ];
            generations: [
                c07_selectors_of_the_admin_reach_what_is_below,
                l08_both_generations_see_everything_they_may_once,
                l08_requests_are_counted_by_generation,
                l08_the_metadata_is_that_of_the_1_0_generation,
            ];
        }
    };
}
